//! The frame of every page that is made of a plan, a difference or a run: one file without scripts, fonts or
//! anything from elsewhere, light and dark, for screens of any width and for paper. Leaves out what
//! stands in it.

use crate::plan::diff_show::safe;

const CSS: &str = include_str!("page.css");

/// A page: its title as text, its style beside the common one, its body as HTML.
pub(crate) fn page(title: &str, style: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n<style>\n{CSS}{style}</style>\n</head>\n\
         <body>\n{body}<footer>Made by Partita {}. One file: it loads nothing.</footer>\n</body>\n</html>\n",
        html(title),
        env!("CARGO_PKG_VERSION")
    )
}

/// A text as HTML, without what steers terminals or turns the direction of writing.
pub(crate) fn html(text: &str) -> String {
    let mut out = String::new();
    for c in safe(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(c),
        }
    }
    out
}

/// A text as code.
pub(crate) fn code(text: &str) -> String {
    format!("<code>{}</code>", html(text))
}

/// A tile: a number or word that stands out, and what it is of.
pub(crate) fn tile(is_bad: bool, what: &str, of: &str) -> String {
    let class = if is_bad { " class=\"bad\"" } else { "" };
    format!("<li{class}><b>{}</b><span>{}</span></li>\n", html(what), html(of))
}
