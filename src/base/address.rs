//! Placeholders for the addresses of services in texts: `{{shop.http}}` for an address,
//! `{{shop.http.port}}` for its number alone. Specs and plans hold these; what they stand for is
//! known when an action runs. Leaves out what a service is.

/// What a placeholder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address<'a> {
    /// The service.
    pub service: &'a str,
    /// Its port.
    pub port: &'a str,
    /// Whether only the number is meant.
    pub number: bool,
}

impl Address<'_> {
    /// The placeholder.
    pub fn placeholder(&self) -> String {
        let number = if self.number { ".port" } else { "" };
        format!("{{{{{}.{}{number}}}}}", self.service, self.port)
    }
}

/// A piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'a> {
    Literal(&'a str),
    Address(Address<'a>),
}

/// The addresses in a text, in order.
pub fn addresses(text: &str) -> Vec<Address<'_>> {
    let found = pieces(text).into_iter().filter_map(|piece| match piece {
        Piece::Address(address) => Some(address),
        Piece::Literal(_) => None,
    });
    found.collect()
}

/// The text with its addresses replaced. Those that `value` does not know stay as they are.
pub fn fill_addresses(text: &str, value: &dyn Fn(Address<'_>) -> Option<String>) -> String {
    if !text.contains("{{") {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Literal(literal) => out.push_str(literal),
            Piece::Address(address) => out.push_str(&value(address).unwrap_or_else(|| address.placeholder())),
        }
    }
    out
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut from, mut at) = (0, 0);
    while let Some(open) = text[at..].find("{{").map(|found| at + found) {
        let Some(close) = text[open..].find("}}").map(|found| open + found) else { break };
        match parse(&text[open + 2..close]) {
            Some(address) => {
                pieces.push(Piece::Literal(&text[from..open]));
                pieces.push(Piece::Address(address));
                at = close + 2;
                from = at;
            }
            None => at = open + 1,
        }
    }
    pieces.push(Piece::Literal(&text[from..]));
    pieces
}

fn parse(inside: &str) -> Option<Address<'_>> {
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    let mut parts = inside.split('.');
    let (service, port) = (parts.next()?, parts.next()?);
    let number = match (parts.next(), parts.next()) {
        (None, None) => false,
        (Some("port"), None) => true,
        _ => return None,
    };
    (is_name(service) && is_name(port)).then_some(Address { service, port, number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_found_and_filled() {
        let text = "a{{shop.http}}/x {{ shop.http }} {{shop.http.port}} {{a}} {{x.y.z}} {{{{db.sql}}";
        let found: Vec<String> = addresses(text).iter().map(Address::placeholder).collect();
        assert_eq!(found, ["{{shop.http}}", "{{shop.http.port}}", "{{db.sql}}"]);
        let filled = fill_addresses(text, &|address| match (address.service, address.number) {
            ("shop", true) => Some("80".to_owned()),
            ("shop", false) => Some("http://h:80".to_owned()),
            _ => None,
        });
        assert_eq!(filled, "ahttp://h:80/x {{ shop.http }} 80 {{a}} {{x.y.z}} {{{{db.sql}}");
    }

    #[test]
    fn what_is_put_in_is_not_looked_into_again() {
        assert_eq!(fill_addresses("{{a.b}}", &|_| Some("{{a.b}}".to_owned())), "{{a.b}}");
        assert_eq!(fill_addresses("{{", &|_| None), "{{");
        assert_eq!(fill_addresses("}}{{a.b", &|_| None), "}}{{a.b");
    }
}
