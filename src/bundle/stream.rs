//! Canonical JSON (RFC 8785) checked as it streams, in memory that does not grow with the document: the elements of
//! some arrays are handed on one by one, the rest is kept as a small document of its own. Leaves out what documents say.

use std::cmp::Ordering;

use sha2::{Digest as _, Sha256};

use crate::bundle::json::canonical;

/// Blocks within blocks, as the parser of small documents has it.
const DEPTH: usize = 127;
/// Bytes of one text or number, and of one element that is handed on.
const TOKEN: usize = 1024 * 1024;
/// Bytes of one name.
const NAME: usize = 16 * 1024;
/// Bytes of the rest that is kept. A parsed document may take a hundred times the bytes of its text.
pub(crate) const KEPT: usize = 256 * 1024;

/// What to do with a document.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Arrays whose elements are handed on, by the names that lead to them.
    pub(crate) arrays: &'static [&'static [&'static str]],
    /// The member without which the document has its own identity.
    pub(crate) without: Option<&'static str>,
    /// The member whose value is hashed, and dropped from what is kept if it is too large.
    pub(crate) apart: Option<&'static str>,
}

/// What a document came to.
pub(crate) struct Parts {
    /// The document with nothing in the arrays whose elements were handed on, and with `null` for the member apart if
    /// that was too large to keep.
    pub(crate) rest: Vec<u8>,
    /// The BLAKE3 of the document but for the member it is to be without.
    pub(crate) identity: blake3::Hash,
    /// The SHA-256 of the member apart.
    pub(crate) apart_sha256: [u8; 32],
    /// Whether the member apart was too large to keep.
    pub(crate) is_cut: bool,
}

/// Takes elements: the number of the array in the plan, and the bytes.
pub(crate) type Elements<'a> = dyn FnMut(usize, &[u8]) -> Result<(), String> + 'a;

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Value,
    /// Just after `[`.
    ValueOrEnd,
    Key,
    /// Just after `{`.
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    Nothing,
}

#[derive(Debug)]
struct Block {
    is_object: bool,
    /// The name met last, to compare the next one with.
    key: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lex {
    Between,
    Text { escaped: bool },
    Word,
}

/// Where a run of tokens goes, besides where everything goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Rest,
    /// Inside an array of the plan, at this depth.
    Array {
        which: usize,
        depth: usize,
    },
}

/// Reads a document in pieces.
pub(crate) struct Splitter {
    plan: &'static Plan,
    lex: Lex,
    token: Vec<u8>,
    blocks: Vec<Block>,
    next: Next,
    count: u64,
    route: Route,
    rest: Vec<u8>,
    element: Vec<u8>,
    identity: blake3::Hasher,
    /// Whether what comes is the member that the identity is without, with the comma after it.
    in_without: bool,
    apart: Sha256,
    /// Where the member apart begins in what is kept, while it is being read.
    apart_at: Option<usize>,
    is_cut: bool,
}

impl Splitter {
    pub(crate) fn new(plan: &'static Plan) -> Self {
        Self {
            plan,
            lex: Lex::Between,
            token: Vec::new(),
            blocks: Vec::new(),
            next: Next::Value,
            count: 0,
            route: Route::Rest,
            rest: Vec::new(),
            element: Vec::new(),
            identity: blake3::Hasher::new(),
            in_without: false,
            apart: Sha256::new(),
            apart_at: None,
            is_cut: false,
        }
    }

    fn not_canonical<T>(&self) -> Result<T, String> {
        Err(format!("byte {} is not that of the canonical form (RFC 8785)", self.count))
    }

    /// More bytes. After an error nothing more may be given.
    pub(crate) fn feed(&mut self, bytes: &[u8], elements: &mut Elements<'_>) -> Result<(), String> {
        let mut at = 0;
        while at < bytes.len() {
            match self.lex {
                Lex::Text { escaped } => {
                    let end = if escaped {
                        self.lex = Lex::Text { escaped: false };
                        at + 1
                    } else {
                        let plain = bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'\\'));
                        match plain.map(|plain| at + plain) {
                            None => bytes.len(),
                            Some(found) if bytes[found] == b'\\' => {
                                self.lex = Lex::Text { escaped: true };
                                found + 1
                            }
                            Some(found) => {
                                self.lex = Lex::Between;
                                found + 1
                            }
                        }
                    };
                    self.keep(&bytes[at..end])?;
                    at = end;
                    if self.lex == Lex::Between {
                        self.text(elements)?;
                    }
                }
                Lex::Word => match bytes[at..].iter().position(|byte| matches!(byte, b',' | b']' | b'}')) {
                    None => {
                        self.keep(&bytes[at..])?;
                        at = bytes.len();
                    }
                    Some(length) => {
                        self.keep(&bytes[at..at + length])?;
                        at += length;
                        self.lex = Lex::Between;
                        self.word(elements)?;
                    }
                },
                Lex::Between => {
                    let byte = bytes[at];
                    match byte {
                        b'"' => {
                            self.keep(&[byte])?;
                            self.lex = Lex::Text { escaped: false };
                        }
                        b'{' | b'}' | b'[' | b']' | b':' | b',' => self.mark(byte, elements)?,
                        b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                            self.keep(&[byte])?;
                            self.lex = Lex::Word;
                        }
                        _ => return self.not_canonical(),
                    }
                    at += 1;
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), String> {
        if self.token.len() + bytes.len() > TOKEN {
            return Err(format!("a text or number at byte {} is longer than {TOKEN} bytes", self.count));
        }
        self.token.extend_from_slice(bytes);
        Ok(())
    }

    /// The end of the document.
    pub(crate) fn finish(mut self, elements: &mut Elements<'_>) -> Result<Parts, String> {
        if self.lex == Lex::Word {
            self.word(elements)?;
        }
        if self.next != Next::Nothing {
            return Err(format!("it ends at byte {}, in the middle of something", self.count));
        }
        Ok(Parts {
            rest: self.rest,
            identity: self.identity.finalize(),
            apart_sha256: self.apart.finalize().into(),
            is_cut: self.is_cut,
        })
    }

    /// A whole text has been read: a name or a value.
    fn text(&mut self, elements: &mut Elements<'_>) -> Result<(), String> {
        let token = std::mem::take(&mut self.token);
        let Ok(inner) = std::str::from_utf8(&token[1..token.len() - 1]) else {
            return Err(format!("the text at byte {} is not UTF-8", self.count));
        };
        let decoded;
        let text = if inner.bytes().any(|byte| byte == b'\\' || byte < 0x20) {
            decoded = serde_json::from_slice::<String>(&token).map_err(|error| error.to_string())?;
            if canonical(&decoded) != token {
                return self.not_canonical();
            }
            decoded.as_str()
        } else {
            inner
        };
        match self.next {
            Next::Key | Next::KeyOrEnd => self.key(text, &token)?,
            Next::Value | Next::ValueOrEnd => {
                self.emit(&token)?;
                self.ended(elements)?;
            }
            _ => return self.not_canonical(),
        }
        self.token = token;
        self.token.clear();
        Ok(())
    }

    fn key(&mut self, text: &str, token: &[u8]) -> Result<(), String> {
        let depth = self.blocks.len();
        if token.len() > NAME {
            return Err(format!("a name at byte {} is longer than {NAME} bytes", self.count));
        }
        let in_order = |last: &String| last.encode_utf16().cmp(text.encode_utf16()) == Ordering::Less;
        match self.blocks.last_mut() {
            Some(block) if block.key.as_ref().is_none_or(in_order) => block.key = Some(text.to_owned()),
            _ => return self.not_canonical(),
        }
        if depth == 1 {
            self.in_without = self.plan.without == Some(text);
        }
        self.next = Next::Colon;
        self.emit(token)
    }

    /// A whole number, `true`, `false` or `null` has been read.
    fn word(&mut self, elements: &mut Elements<'_>) -> Result<(), String> {
        if !matches!(self.next, Next::Value | Next::ValueOrEnd) {
            return self.not_canonical();
        }
        let token = std::mem::take(&mut self.token);
        if !is_plain(&token) {
            let value: serde_json::Value = serde_json::from_slice(&token).map_err(|error| error.to_string())?;
            let again = serde_json_canonicalizer::to_vec(&value).map_err(|error| error.to_string())?;
            if again != token {
                return self.not_canonical();
            }
        }
        self.emit(&token)?;
        self.ended(elements)?;
        self.token = token;
        self.token.clear();
        Ok(())
    }

    fn mark(&mut self, byte: u8, elements: &mut Elements<'_>) -> Result<(), String> {
        match (byte, self.next) {
            (b'{' | b'[', Next::Value | Next::ValueOrEnd) => {
                if self.blocks.len() >= DEPTH {
                    return Err(format!("at byte {} more than {DEPTH} blocks are open", self.count));
                }
                let array = self.array(byte);
                self.emit(&[byte])?;
                self.blocks.push(Block { is_object: byte == b'{', key: None });
                self.next = if byte == b'{' { Next::KeyOrEnd } else { Next::ValueOrEnd };
                if let Some(which) = array {
                    self.route = Route::Array { which, depth: self.blocks.len() };
                }
                Ok(())
            }
            (b'}', Next::KeyOrEnd | Next::CommaOrEnd) | (b']', Next::ValueOrEnd | Next::CommaOrEnd) => {
                let fits = self.blocks.last().is_some_and(|block| block.is_object == (byte == b'}'));
                if !fits {
                    return self.not_canonical();
                }
                if self.blocks.len() == 1 {
                    // Of the last member nothing is left but this.
                    self.in_without = false;
                }
                if matches!(self.route, Route::Array { depth, .. } if depth == self.blocks.len()) {
                    self.route = Route::Rest;
                }
                self.blocks.pop();
                self.emit(&[byte])?;
                self.ended(elements)
            }
            (b':', Next::Colon) => {
                self.emit(&[byte])?;
                self.next = Next::Value;
                if self.blocks.len() == 1
                    && self.plan.apart.is_some()
                    && self.blocks[0].key.as_deref() == self.plan.apart
                {
                    self.apart_at = Some(self.rest.len());
                }
                Ok(())
            }
            (b',', Next::CommaOrEnd) => {
                let is_object = self.blocks.last().is_some_and(|block| block.is_object);
                self.next = if is_object { Next::Key } else { Next::Value };
                self.emit(&[byte])
            }
            _ => self.not_canonical(),
        }
    }

    /// Which array of the plan begins here.
    fn array(&self, byte: u8) -> Option<usize> {
        if byte != b'[' || self.route != Route::Rest {
            return None;
        }
        self.plan.arrays.iter().position(|path| {
            path.len() == self.blocks.len()
                && path.iter().zip(&self.blocks).all(|(name, block)| block.key.as_deref() == Some(name))
        })
    }

    /// A value has ended.
    fn ended(&mut self, elements: &mut Elements<'_>) -> Result<(), String> {
        self.next = if self.blocks.is_empty() { Next::Nothing } else { Next::CommaOrEnd };
        if self.blocks.len() == 1
            && let Some(at) = self.apart_at.take()
            && self.is_cut
        {
            self.rest.truncate(at);
            self.rest.extend_from_slice(b"null");
        }
        if let Route::Array { which, depth } = self.route
            && depth == self.blocks.len()
        {
            elements(which, &self.element)?;
            self.element.clear();
        }
        Ok(())
    }

    /// Sends the bytes of a token where they belong.
    fn emit(&mut self, token: &[u8]) -> Result<(), String> {
        self.count += token.len() as u64;
        if !self.in_without {
            self.identity.update(token);
        } else if self.blocks.len() == 1 && token == b"," {
            self.in_without = false;
        }
        if self.apart_at.is_some() {
            self.apart.update(token);
        }
        match self.route {
            Route::Rest => {
                if self.apart_at.is_some() && (self.is_cut || self.rest.len() + token.len() > KEPT) {
                    self.is_cut = true;
                    return Ok(());
                }
                if self.rest.len() + token.len() > KEPT {
                    return Err(format!("more than {KEPT} bytes of it are not in lists"));
                }
                self.rest.extend_from_slice(token);
            }
            Route::Array { depth, .. } => {
                if depth == self.blocks.len() && token == b"," {
                    return Ok(());
                }
                if self.element.len() + token.len() > TOKEN {
                    return Err(format!("an element before byte {} is longer than {TOKEN} bytes", self.count));
                }
                self.element.extend_from_slice(token);
            }
        }
        Ok(())
    }
}

/// Whether a word is one that has one form only, seen without parsing.
fn is_plain(word: &[u8]) -> bool {
    let digits = word.strip_prefix(b"-").unwrap_or(word);
    matches!(word, b"true" | b"false" | b"null" | b"0")
        || (digits.len() <= 15
            && digits.first().is_some_and(|first| *first != b'0')
            && digits.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
    use serde_json::{Value, json};

    use super::*;
    use crate::bundle::json::parse_canonical;

    static WHOLE: Plan = Plan { arrays: &[], without: None, apart: None };
    static CUT: Plan = Plan { arrays: &[&["list"], &["p", "q"]], without: Some("id"), apart: Some("p") };

    type Split = (Parts, Vec<(usize, String)>);

    /// Splits a document given in pieces of a length.
    fn split(plan: &'static Plan, bytes: &[u8], piece: usize) -> Result<Split, String> {
        let mut found = Vec::new();
        let mut elements = |which, bytes: &[u8]| {
            found.push((which, String::from_utf8(bytes.to_vec()).unwrap()));
            Ok(())
        };
        let mut splitter = Splitter::new(plan);
        for piece in bytes.chunks(piece) {
            splitter.feed(piece, &mut elements)?;
        }
        let parts = splitter.finish(&mut elements)?;
        Ok((parts, found))
    }

    #[test]
    fn only_canonical_bytes_are_read() {
        for good in [
            r#"{"a":1,"b":[true,null,"x",{}],"c":{"":-2.5,"\n":"é\u0001\"\\"}}"#,
            "[]",
            "1",
            "\"\"",
            "1e+30",
            "[[],{}]",
        ] {
            for piece in [1, 2, 1000] {
                let (parts, _) = split(&WHOLE, good.as_bytes(), piece).unwrap_or_else(|why| panic!("{good}: {why}"));
                assert_eq!(parts.rest, good.as_bytes());
                assert_eq!(parts.identity, blake3::hash(good.as_bytes()));
            }
        }
        for bad in [
            r#"{"b":1,"a":1}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a": 1}"#,
            r#"{"a":1.0}"#,
            r#"{"a":"\u0041"}"#,
            r#"{"a":1}x"#,
            "{\"a\":1}\n",
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "[,]",
            "]",
            "{]",
            "[}",
            "{\"a\"}",
            "{\"a\":}",
            "{1:1}",
            "[1 2]",
            "nul",
            "truefalse",
            "01",
            "-0",
            "1.",
            "\"\\/\"",
            "\"\\u000A\"",
            "\"\u{1}\"",
            "\"",
            "[\"a\"\"b\"]",
            "{\"a\":1:2}",
            "[1]]",
            "1,2",
            "{\"\u{ff61}\":1,\"\u{1f600}\":1}",
        ] {
            for piece in [1, 1000] {
                assert!(split(&WHOLE, bad.as_bytes(), piece).is_err(), "{bad}");
            }
            assert!(parse_canonical(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(split(&WHOLE, b"\"\xff\"", 9).is_err());
        assert!(split(&WHOLE, "[".repeat(100_000).as_bytes(), 1000).is_err());
        assert!(split(&WHOLE, "[".repeat(DEPTH).as_bytes(), 1000).err().unwrap().contains("in the middle"));
    }

    #[test]
    fn lists_are_handed_on_and_the_rest_is_kept() {
        let text = r#"{"a":[1],"id":"x","list":[{"list":[1]},2,"3"],"p":{"q":[[],[4,5]],"r":[6]},"z":{"list":[7]}}"#;
        let (parts, found) = split(&CUT, text.as_bytes(), 3).unwrap();
        assert_eq!(
            String::from_utf8(parts.rest).unwrap(),
            r#"{"a":[1],"id":"x","list":[],"p":{"q":[],"r":[6]},"z":{"list":[7]}}"#
        );
        let expected = [(0, "{\"list\":[1]}"), (0, "2"), (0, "\"3\""), (1, "[]"), (1, "[4,5]")];
        assert_eq!(found, expected.map(|(which, text)| (which, text.to_owned())));
        assert_eq!(parts.identity, blake3::hash(text.replace("\"id\":\"x\",", "").as_bytes()));
        let apart = r#"{"q":[[],[4,5]],"r":[6]}"#;
        assert_eq!(parts.apart_sha256, <[u8; 32]>::from(Sha256::digest(apart)));
        assert!(!parts.is_cut);
    }

    #[test]
    fn memory_is_bounded() {
        let many = (0..300_000).map(|at| at.to_string()).collect::<Vec<_>>().join(",");
        let (parts, found) = split(&CUT, format!("{{\"list\":[{many}]}}").as_bytes(), 4096).unwrap();
        assert_eq!((parts.rest.as_slice(), found.len()), (&b"{\"list\":[]}"[..], 300_000));
        assert!(split(&CUT, format!("{{\"other\":[{many}]}}").as_bytes(), 4096).is_err());
        assert!(split(&CUT, format!("{{\"list\":[[{many}]]}}").as_bytes(), 4096).is_err());
        let (parts, _) = split(&CUT, format!("{{\"a\":1,\"p\":[{many}],\"z\":2}}").as_bytes(), 4096).unwrap();
        assert!(parts.is_cut);
        assert_eq!(parts.rest, b"{\"a\":1,\"p\":null,\"z\":2}");
        assert_eq!(parts.apart_sha256, <[u8; 32]>::from(Sha256::digest(format!("[{many}]"))));
        assert!(split(&WHOLE, format!("\"{}\"", "x".repeat(TOKEN)).as_bytes(), 4096).is_err());
        assert!(split(&WHOLE, format!("{{\"{}\":1}}", "x".repeat(NAME)).as_bytes(), 4096).is_err());
    }

    fn values() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::strategy::Strategy as _;
        let leaf = proptest::prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(|number| json!(number)),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            proptest::prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-z\"\u{e9}\u{1f600}]{0,3}", inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_parser(value in values(), piece in 1_usize..9, flip in any::<prop::sample::Index>(), bit in 0_u8..8) {
            // Numbers that no canonical form has are not written.
            if let Ok(bytes) = serde_json_canonicalizer::to_vec(&value) {
                let good = split(&WHOLE, &bytes, piece);
                prop_assert_eq!(good.err(), parse_canonical(&bytes).err());
                let mut bad = bytes.clone();
                let at = flip.index(bad.len());
                bad[at] ^= 1 << bit;
                prop_assert_eq!(split(&WHOLE, &bad, piece).is_ok(), parse_canonical(&bad).is_ok(), "{}", String::from_utf8_lossy(&bad));
            }
            prop_assert!(split(&WHOLE, b"", piece).is_err());
        }
    }
}
