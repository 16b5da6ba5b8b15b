//! Keys of an older schema, brought to the present one from their manifests: what the fields say is known, so nothing
//! has to run again. Leaves out where results are kept.

use crate::base::{ActionKey, Manifest, Value};
use crate::plan::action_key;

/// How the manifest of one schema becomes that of the next; `None` if it cannot be told, so that its result is made
/// anew. The number is put in by the caller.
pub type SchemaStep = fn(Manifest) -> Option<Manifest>;

/// The ways from older schemas to the present one.
#[derive(Clone, Copy, Debug)]
pub struct Rekeying {
    /// The first schema there is a way from.
    pub first: u64,
    /// From each to the next; as many as lead to the present one.
    pub steps: &'static [SchemaStep],
}

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rekeyed {
    /// It is of the present schema.
    Present,
    /// The same fields have this key and manifest now.
    Moved {
        /// The key.
        key: ActionKey,
        /// The manifest, as written.
        manifest: String,
    },
    /// It stays as it is: its manifest does not give the key, or there is no way from its schema.
    Left,
}

impl Rekeying {
    /// That of this version. Schema 1 is the first, so there are no steps yet.
    pub const PRESENT: Self = Self { first: 1, steps: &[] };

    /// From the schema before the present one, if all fields mean in both what they say.
    pub const SAME_FIELDS: Self = Self { first: ActionKey::SCHEMA - 1, steps: &[|manifest| Some(manifest)] };

    /// What a key becomes. Its manifest is believed only if it gives the key.
    pub fn rekey(&self, key: ActionKey, manifest: &str) -> Rekeyed {
        let Ok(mut manifest) = Manifest::from_json(manifest) else { return Rekeyed::Left };
        let Some(Value::Int(mut schema)) = manifest.get("schema").cloned() else { return Rekeyed::Left };
        if action_key(&manifest) != key {
            return Rekeyed::Left;
        }
        if schema == ActionKey::SCHEMA {
            return Rekeyed::Present;
        }
        while schema != ActionKey::SCHEMA {
            let step = schema.checked_sub(self.first).and_then(|index| self.steps.get(usize::try_from(index).ok()?));
            let Some(next) = step.and_then(|step| step(manifest)) else { return Rekeyed::Left };
            schema += 1;
            manifest = next;
            for field in manifest.fields.iter_mut().filter(|field| field.name == "schema") {
                field.value = Value::Int(schema);
            }
        }
        Rekeyed::Moved { key: action_key(&manifest), manifest: manifest.to_json() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::FieldSink as _;

    fn manifest(schema: u64) -> Manifest {
        let mut manifest = Manifest::default();
        manifest.field(1, "schema", &Value::Int(schema));
        manifest.field(11, "args", &Value::texts(["a", "b"]));
        manifest
    }

    #[test]
    fn the_steps_lead_to_the_present() {
        for way in [Rekeying::PRESENT, Rekeying::SAME_FIELDS] {
            assert_eq!(way.first + way.steps.len() as u64, ActionKey::SCHEMA);
        }
    }

    #[test]
    fn only_what_gives_its_key_is_moved() {
        let (old, new) = (manifest(ActionKey::SCHEMA - 1), manifest(ActionKey::SCHEMA));
        let way = Rekeying::SAME_FIELDS;
        let moved = Rekeyed::Moved { key: action_key(&new), manifest: new.to_json() };
        assert_eq!(way.rekey(action_key(&old), &old.to_json()), moved);
        assert_eq!(way.rekey(action_key(&new), &new.to_json()), Rekeyed::Present);
        assert_eq!(way.rekey(action_key(&new), &old.to_json()), Rekeyed::Left, "not its key");
        assert_eq!(way.rekey(action_key(&old), "[]"), Rekeyed::Left);
        assert_eq!(way.rekey(action_key(&old), "{"), Rekeyed::Left);
        let later = manifest(ActionKey::SCHEMA + 1);
        assert_eq!(way.rekey(action_key(&later), &later.to_json()), Rekeyed::Left, "of a version to come");
        assert_eq!(Rekeying::PRESENT.rekey(action_key(&old), &old.to_json()), Rekeyed::Left, "no way from there");
    }
}
