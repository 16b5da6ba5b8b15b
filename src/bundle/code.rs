//! Stable codes of everything that can go wrong with a bundle: errors (making one, keys, could not
//! check) and refusals (checked, and the answer is no). Leaves out the wording of single cases.

use std::fmt;

macro_rules! codes {
    ($($code:ident $title:literal;)*) => {
        /// A stable code, for scripts and for looking up.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "the title in the table is the documentation")]
        pub enum Code { $($code),* }

        impl Code {
            /// Every code, in order.
            pub const ALL: &[Code] = &[$(Code::$code),*];

            /// The text form, `B0101`.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$code => stringify!($code)),* }
            }

            /// One line on what it means.
            pub fn title(self) -> &'static str {
                match self { $(Code::$code => $title),* }
            }
        }
    };
}

codes! {
    B0101 "a path in a bundle is not in Unicode normalization form C";
    B0102 "a path in a bundle does not exist on every system";
    B0103 "two paths in a bundle differ only by case";
    B0104 "a path in a bundle is both a file and a folder";
    B0105 "a path in a bundle is not a plain relative path, or is too long";
    B0106 "a name, version, tenant or graph cannot be used in a bundle";
    B0107 "the bundle holds no file";
    B0108 "content of a bundle is not in the store";
    B0109 "content in the store is not what the bundle says it is";
    B0110 "a file of the bundle cannot be written";
    B0111 "the store failed while a bundle was made";
    B0112 "no key signs the bundle, or one signs it twice";
    B0113 "the date of a bundle is out of range";
    B0114 "the archive written is not the canonical one";
    B0115 "a lock file cannot be understood";
    B0201 "a key file cannot be read or written";
    B0202 "a private key is readable by others";
    B0203 "a file does not hold the key that is needed";
    B0204 "an encrypted private key needs a passphrase";
    B0205 "the passphrase does not open the private key";
    B0206 "a key cannot sign";
    B0207 "a key of this name exists";
    B0301 "the trust policy contradicts itself";
    B0302 "a file to verify cannot be read";
    B0303 "a bundle cannot be understood";
    B0304 "a transparency log does not hold together";
    B0305 "a database of vulnerabilities cannot be used";
    B0401 "the envelopes are not in canonical form";
    B0402 "the Sigstore bundle is not canonical, or not that of the envelopes";
    B0403 "an envelope holds no in-toto statement";
    B0404 "a statement is not canonical";
    B0405 "a statement is about something else";
    B0406 "a signature is wrong";
    B0407 "an envelope is signed by no key that is trusted for it";
    B0408 "the provenance holds something unknown, or lacks something";
    B0409 "the file is not named as the signed bundle is";
    B0501 "the policy does not know the tenant";
    B0502 "the bundle is another tenant's";
    B0503 "a required attestation is missing, or too few keys signed it";
    B0504 "a key is revoked, or outside its epochs";
    B0505 "the builder is not one that the policy accepts from this key";
    B0506 "the source is not one that the policy accepts";
    B0507 "the version is below the minimum";
    B0508 "a proof of a transparency log is required, and is missing or wrong";
    B0509 "the policy does not require provenance of the tenant";
    B0601 "the archive is not the one that was signed";
    B0602 "the archive is not in canonical form";
    B0603 "the archive holds a name that is not allowed";
    B0604 "the archive is beyond a limit";
    B0605 "the compressed archive is damaged, or larger than what was signed";
    B0701 "the list of checksums does not fit";
    B0702 "the manifest does not fit";
    B0703 "the SPDX document does not fit";
    B0704 "the CycloneDX document does not fit";
    B0705 "the extracted folder does not fit";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_titled() {
        assert!(Code::ALL.windows(2).all(|pair| pair[0].as_str() < pair[1].as_str()));
        assert!(Code::ALL.iter().all(|code| !code.title().ends_with('.')));
    }
}
