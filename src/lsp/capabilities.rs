//! What the two sides say of themselves: what the server offers, and what it takes from what the
//! editor offers. Leaves out doing any of it.

use serde_json::{Value, json};

use crate::lsp::position::Encoding;
use crate::ops::TokenClass;

/// What the editor can do, as far as it makes a difference here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub(super) encoding: Encoding,
    /// Completions with places to fill in.
    pub(super) snippets: bool,
    /// Edits of documents by version.
    pub(super) document_changes: bool,
    /// Watching files for us.
    pub(super) watches: bool,
    /// Outlines that are trees.
    pub(super) outlines: bool,
    /// Asking for hints and lenses again when they have changed.
    pub(super) refreshes: bool,
}

impl Client {
    /// Reads the editor's capabilities; what is missing it cannot do.
    pub(super) fn of(params: &Value) -> Self {
        let can = |path: &str| params.pointer(&format!("/capabilities/{path}"));
        let yes = |path: &str| can(path).and_then(Value::as_bool).unwrap_or(false);
        let encodings = can("general/positionEncodings").and_then(Value::as_array);
        let offered = |name: &str| encodings.is_some_and(|all| all.iter().any(|one| one.as_str() == Some(name)));
        let encoding = if offered("utf-8") {
            Encoding::Utf8
        } else if offered("utf-32") && !offered("utf-16") {
            Encoding::Utf32
        } else {
            Encoding::Utf16
        };
        Self {
            encoding,
            snippets: yes("textDocument/completion/completionItem/snippetSupport"),
            document_changes: yes("workspace/workspaceEdit/documentChanges"),
            watches: yes("workspace/didChangeWatchedFiles/dynamicRegistration"),
            outlines: yes("textDocument/documentSymbol/hierarchicalDocumentSymbolSupport"),
            refreshes: yes("workspace/inlayHint/refreshSupport"),
        }
    }
}

/// The name of a class of words in the protocol.
pub(super) fn token_type(class: TokenClass) -> &'static str {
    match class {
        TokenClass::Keyword => "keyword",
        TokenClass::Property => "property",
        TokenClass::Text => "string",
        TokenClass::Number => "number",
        TokenClass::Constant => "enumMember",
        TokenClass::Comment => "comment",
        TokenClass::Note => "decorator",
        TokenClass::Variable => "variable",
        TokenClass::Function => "function",
        TokenClass::Namespace => "namespace",
        TokenClass::Node => "event",
        TokenClass::Declaration => "class",
    }
}

/// What the server offers.
pub(super) fn offered(client: Client) -> Value {
    let types: Vec<&str> = TokenClass::ALL.iter().map(|class| token_type(*class)).collect();
    json!({
        "capabilities": {
            "positionEncoding": client.encoding.name(),
            "textDocumentSync": {"openClose": true, "change": 1, "save": {"includeText": false}},
            "hoverProvider": true,
            "definitionProvider": true,
            "referencesProvider": true,
            "documentHighlightProvider": true,
            "documentSymbolProvider": true,
            "workspaceSymbolProvider": true,
            "foldingRangeProvider": true,
            "documentFormattingProvider": true,
            "inlayHintProvider": true,
            "renameProvider": {"prepareProvider": true},
            "documentLinkProvider": {"resolveProvider": false},
            "codeLensProvider": {"resolveProvider": false},
            "codeActionProvider": {"codeActionKinds": ["quickfix", "source.fixAll.partita"]},
            "completionProvider": {"triggerCharacters": ["=", "(", ")", ".", "\"", "{", "/", " "]},
            "semanticTokensProvider": {
                "legend": {"tokenTypes": types, "tokenModifiers": ["declaration"]},
                "full": true,
                "range": true,
            },
        },
        "serverInfo": {"name": "partita", "version": env!("CARGO_PKG_VERSION")},
    })
}

/// Asks the editor to watch the files that specs are read from.
pub(super) fn registration() -> Value {
    json!({"registrations": [{
        "id": "partita-watch",
        "method": "workspace/didChangeWatchedFiles",
        "registerOptions": {"watchers": [{"globPattern": "**/*.kdl"}, {"globPattern": "**/partita.lock"}]},
    }]})
}

#[cfg(test)]
mod tests {
    use super::{Client, offered, registration};
    use crate::lsp::position::Encoding;
    use gen_lsp_types::{InitializeResult, RegistrationParams};
    use serde_json::json;

    #[test]
    fn encodings_are_agreed_on() {
        let of = |encodings: serde_json::Value| {
            Client::of(&json!({"capabilities": {"general": {"positionEncodings": encodings}}})).encoding
        };
        assert_eq!(of(json!(["utf-16", "utf-8"])), Encoding::Utf8);
        assert_eq!(of(json!(["utf-16"])), Encoding::Utf16);
        assert_eq!(of(json!(["utf-32"])), Encoding::Utf32);
        assert_eq!(Client::of(&json!({})).encoding, Encoding::Utf16);
    }

    #[test]
    fn the_offer_is_of_the_protocol() {
        let value = offered(Client::of(&json!({})));
        let typed: InitializeResult = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(typed).unwrap(), value);
        let value = registration();
        let typed: RegistrationParams = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(typed).unwrap(), value);
    }
}
