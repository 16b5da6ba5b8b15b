//! What an API is asked, in a plan file. Leaves out everything else of an action.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::plan::read::{path, unique};
use crate::plan::{HttpAsk, Price, Vendor};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpBody {
    http: HttpLine,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpLine {
    url: String,
    vendor: String,
    model: String,
    #[serde(deserialize_with = "unique")]
    headers: BTreeMap<String, String>,
    #[serde(deserialize_with = "unique")]
    schemes: BTreeMap<String, String>,
    body: Option<String>,
    answer: Option<String>,
    usage: Option<[String; 2]>,
    tokens: Option<u64>,
    turns: u64,
    request: String,
}

impl HttpBody {
    pub(super) fn read(self) -> Result<HttpAsk, String> {
        let line = self.http;
        let vendor = Vendor::ALL.into_iter().find(|vendor| vendor.word() == line.vendor);
        Ok(HttpAsk {
            vendor: vendor.ok_or_else(|| format!("`{}` is no vendor of an API", line.vendor))?,
            url: line.url,
            model: line.model,
            headers: line.headers,
            schemes: line.schemes,
            body: line.body,
            answer: line.answer,
            usage: line.usage,
            tokens: line.tokens,
            turns: line.turns,
            request: path(&line.request)?,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PriceLine {
    input: u64,
    output: u64,
    tokens: u64,
}

impl PriceLine {
    pub(super) fn read(self) -> Result<Price, String> {
        if self.tokens == 0 {
            return Err("a price is for at least one token".to_owned());
        }
        Ok(Price { input: self.input, output: self.output, tokens: self.tokens })
    }
}
