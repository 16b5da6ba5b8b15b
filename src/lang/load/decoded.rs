//! Files as they were decoded before: the declarations of a file in which nothing was wrong, kept beside its parsed
//! slices. They are known by the text, by the number of the source, which stands in every place, and by the
//! program that decoded them: nothing of this outlives a change of the compiler. Leaves out where they are kept.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::base::{Digest, Hasher};
use crate::diag::SourceId;
use crate::lang::ast::FileDecls;
use crate::lang::parsed::ParsedSlices;

/// A file that is or may be kept.
pub(super) struct Decoded<'a> {
    kept: &'a dyn ParsedSlices,
    digest: Digest,
    slices: Mutex<Vec<Digest>>,
}

#[derive(Serialize)]
struct Written<'a> {
    slices: &'a [Digest],
    decls: &'a FileDecls,
}

#[derive(Deserialize)]
struct Read {
    slices: Vec<Digest>,
    decls: FileDecls,
}

impl<'a> Decoded<'a> {
    /// A file by its text; `None` where only slices are kept.
    pub(super) fn of(kept: &'a dyn ParsedSlices, source: SourceId, text: &str) -> Option<Self> {
        let mut hasher = Hasher::of_blob();
        hasher.update(b"partita decoded file\n").update(kept.decoder()?.as_bytes());
        hasher.update(&source.0.to_le_bytes()).update(text.as_bytes());
        Some(Self { kept, digest: hasher.finish(), slices: Mutex::default() })
    }

    /// Its declarations. Its slices count as used: after the next edit of the file most of them are asked for.
    pub(super) fn find(&self) -> Option<FileDecls> {
        let (read, []) = postcard::take_from_bytes::<Read>(self.kept.get(self.digest)?).ok()? else { return None };
        for slice in read.slices {
            self.kept.get(slice);
        }
        Some(read.decls)
    }

    /// Keeps its declarations, and which slices it was made of.
    pub(super) fn keep(self, decls: &FileDecls) {
        let slices = self.slices.into_inner().unwrap_or_else(PoisonError::into_inner);
        // What cannot be written is read the long way another time.
        if let Ok(encoded) = postcard::to_allocvec(&Written { slices: &slices, decls }) {
            self.kept.put(self.digest, encoded);
        }
    }

    fn note(&self, slice: Digest) {
        self.slices.lock().unwrap_or_else(PoisonError::into_inner).push(slice);
    }
}

/// Its slices go to where all are, and are noted.
impl ParsedSlices for Decoded<'_> {
    fn get(&self, slice: Digest) -> Option<&[u8]> {
        let found = self.kept.get(slice)?;
        self.note(slice);
        Some(found)
    }

    fn put(&self, slice: Digest, encoded: Vec<u8>) {
        self.note(slice);
        self.kept.put(slice, encoded);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use crate::base::Digest;
    use crate::diag::{Code, SourceId};
    use crate::lang::load::front::Front;
    use crate::lang::parse::Stack;
    use crate::lang::parsed::ParsedSlices;
    use crate::lang::stdlib;

    /// How a reading without mistakes ends.
    const CLEAN: &str = " []";

    #[derive(Default)]
    struct Kept {
        known: BTreeMap<Digest, Vec<u8>>,
        put: Mutex<BTreeMap<Digest, Vec<u8>>>,
        asked: Mutex<Vec<Digest>>,
        decoder: u8,
    }

    impl ParsedSlices for Kept {
        fn get(&self, slice: Digest) -> Option<&[u8]> {
            self.asked.lock().expect("no panic while held").push(slice);
            self.known.get(&slice).map(Vec::as_slice)
        }

        fn put(&self, slice: Digest, encoded: Vec<u8>) {
            self.put.lock().expect("no panic while held").insert(slice, encoded);
        }

        fn decoder(&self) -> Option<Digest> {
            Some(Digest::of_blob(&[self.decoder]))
        }
    }

    impl Kept {
        fn next(self, decoder: u8) -> Self {
            let mut known = self.known;
            known.extend(self.put.into_inner().expect("no panic while held"));
            Self { known, decoder, ..Self::default() }
        }

        fn added(&self) -> usize {
            self.put.lock().expect("no panic while held").len()
        }
    }

    fn read(source: u32, text: &str, kept: Option<&Kept>) -> String {
        let kept = kept.map(|kept| kept as &dyn ParsedSlices);
        let front = Front::read(Stack::Any, SourceId(source), "a.kdl", text, false, kept);
        format!("{:#?} {:?}", front.file, front.diagnostics.sorted())
    }

    #[test]
    fn every_example_is_decoded_again_as_it_was() {
        let pages = Code::ALL.iter().flat_map(|code| code.info().examples()).map(|example| example.text);
        let (mut whole, mut texts) = (0, 0);
        for text in pages.chain(stdlib::FILES.iter().map(|(_, text)| *text)) {
            let first = Kept::default();
            let plain = read(2, text, None);
            assert_eq!(read(2, text, Some(&first)), plain);
            let second = first.next(0);
            assert_eq!(read(2, text, Some(&second)), plain);
            texts += 1;
            // Where something is wrong, nothing but slices is kept.
            if plain.ends_with(CLEAN) {
                whole += 1;
                assert_eq!(second.added(), 0, "{text}");
            } else {
                assert!(second.known.values().all(|bytes| postcard::take_from_bytes::<super::Read>(bytes).is_err()));
            }
        }
        assert!(whole * 2 > texts, "{whole} of {texts}");
    }

    #[test]
    fn another_text_number_or_program_is_another_file() {
        let text = "partita edition=1\nlet x type=int 1\n";
        let kept = Kept::default();
        read(0, text, Some(&kept));
        assert_eq!(kept.added(), 3, "two slices, and the file");
        let kept = kept.next(0);
        read(0, text, Some(&kept));
        // The slices count as used, and none is parsed.
        assert_eq!((kept.added(), kept.asked.lock().expect("no panic while held").len()), (0, 3));
        read(1, text, Some(&kept));
        assert_eq!(kept.added(), 1);
        let kept = kept.next(1);
        read(0, text, Some(&kept));
        assert_eq!(kept.added(), 1);
        let longer = format!("{text}let y type=int 1\n");
        read(0, &longer, Some(&kept));
        assert_eq!(kept.added(), 3, "the new slice, and the file");
    }

    #[test]
    fn what_is_damaged_is_read_anew() {
        let text =
            "partita edition=1\nlet x type=int matches=\"a\" 1\nrecord r { field a type=string matches=\"[a\"; }\n";
        let plain = read(0, text, None);
        let kept = Kept::default();
        read(0, text, Some(&kept));
        let whole = kept.next(0);
        for (digest, bytes) in &whole.known {
            for cut in 0..bytes.len() {
                let mut known = whole.known.clone();
                known.insert(*digest, bytes[..cut].to_vec());
                assert_eq!(read(0, text, Some(&Kept { known, ..Kept::default() })), plain);
            }
        }
    }
}
