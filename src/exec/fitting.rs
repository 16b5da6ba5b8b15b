//! Checks outputs against the JSON Schemas they are declared with, before they become a result. Leaves out the checking
//! itself, which `base::JsonSchema` does within bounds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::{Digest, Entry, JsonSchema, Limits, SchemaFault};
use crate::exec::error::{Error, Failure, FailureClass, Lost, Trouble};
use crate::plan::{Output, Plan};
use crate::store::{Cas, ClaimOutput, Found};

/// The schemas of a plan, each read once.
#[derive(Default)]
pub(super) struct Fitting {
    read: Mutex<BTreeMap<Digest, Arc<JsonSchema>>>,
}

impl Fitting {
    /// Checks the outputs that must fit a schema.
    pub(super) fn check(
        &self,
        plan: &Plan,
        declared: &[Output],
        outputs: &[ClaimOutput],
        cas: &dyn Cas,
    ) -> Result<(), Trouble> {
        let mut wrong = String::new();
        for output in declared {
            let Some(wanted) = output.schema else { continue };
            let Some(made) = outputs.iter().find(|made| made.name == output.name) else { continue };
            let Entry::File { digest, size, .. } = made.entry else { continue };
            let place = plan.schemas.get(&wanted).map_or("?", |schema| schema.path.as_str());
            let checked = if size > Limits::DOCUMENT_BYTES as u64 {
                Err(format!("it is larger than {} MiB", Limits::DOCUMENT_BYTES >> 20))
            } else {
                let bytes = match cas.get(digest)? {
                    Found::Whole(bytes) => bytes,
                    Found::Missing => return Err(Trouble::Lost(Lost { digest, corrupt: false, producer: None })),
                    Found::Corrupt => return Err(Trouble::Lost(Lost { digest, corrupt: true, producer: None })),
                };
                self.schema(plan, wanted)?.check(&bytes)
            };
            let name = &output.name;
            match checked {
                Ok(faults) if faults.told.is_empty() && !faults.more => {}
                Ok(faults) => {
                    for fault in &faults.told {
                        let at = if fault.at.is_empty() { String::new() } else { format!(" at `{}`", fault.at) };
                        let SchemaFault { message, by, .. } = fault;
                        let _ =
                            write!(wrong, "\noutput `{name}` does not fit its schema{at}: {message} (`{place}#{by}`)");
                    }
                    if faults.more {
                        let _ = write!(wrong, "\nand `{name}` may break it in more ways");
                    }
                }
                Err(why) => {
                    let _ = write!(wrong, "\noutput `{name}` cannot be checked against the schema `{place}`: {why}");
                }
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(Failure::new(FailureClass::Schema, wrong.trim_start()).into()) }
    }

    fn schema(&self, plan: &Plan, digest: Digest) -> Result<Arc<JsonSchema>, Error> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = read.get(&digest) {
            return Ok(Arc::clone(known));
        }
        let schema = plan.schemas.get(&digest);
        let schema = schema.ok_or_else(|| Error::Plan(format!("there is no schema b3:{digest}")))?;
        let parsed = JsonSchema::parse(schema.text.as_bytes())
            .map_err(|why| Error::Plan(format!("`{}` is not a JSON Schema: {why}", schema.path)))?;
        let parsed = Arc::new(parsed);
        read.insert(digest, Arc::clone(&parsed));
        Ok(parsed)
    }
}
