//! Yes or no for each of many, in a bit each. Leaves out everything else.

/// A list of bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Vec<u64>,
    count: u64,
}

impl Bits {
    pub(crate) fn push(&mut self, bit: bool) {
        let at = self.count % 64;
        if at == 0 {
            self.words.push(0);
        }
        if let Some(last) = self.words.last_mut() {
            *last |= u64::from(bit) << at;
        }
        self.count += 1;
    }

    /// The bit at a place; `false` behind the last.
    pub(crate) fn get(&self, at: u64) -> bool {
        let word = usize::try_from(at / 64).ok().and_then(|word| self.words.get(word));
        word.is_some_and(|word| word >> (at % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_kept() {
        let mut bits = Bits::default();
        for at in 0..200 {
            bits.push(at % 3 == 0);
        }
        assert!((0..200).all(|at| bits.get(at) == (at % 3 == 0)) && !bits.get(201));
        let mut other = bits.clone();
        assert_eq!(other, bits);
        other.push(false);
        assert_ne!(other, bits);
    }
}
