//! The Merkle tree of RFC 6962, section 2.1: hashes of leaves and of subtrees, proofs that a leaf is in a tree
//! and that one tree is the beginning of another. Leaves out where hashes are kept.

use sha2::{Digest as _, Sha256};

/// A hash of the tree.
pub type Hash = [u8; 32];

/// The hash of an entry.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The largest power of two below a number of at least two.
fn split(count: usize) -> usize {
    1 << (usize::BITS - 1 - (count - 1).leading_zeros())
}

/// The root of a tree with these leaves.
pub(super) fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [only] => *only,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// The proof that the leaf at an index is in the tree, its sibling first.
pub(super) fn inclusion(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut path, other) = if index < left.len() {
        (inclusion(left, index), root(right))
    } else {
        (inclusion(right, index - left.len()), root(left))
    };
    path.push(other);
    path
}

/// The root that a proof leads to; `None` if it cannot be one for this index and size.
pub(super) fn root_of_inclusion(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    // RFC 9162, section 2.1.3.2: one index of the leaf and one of the last leaf go up together.
    let (mut at, mut last) = (index, size - 1);
    let mut hash = leaf;
    for other in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(other, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, other);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

/// Whether the tree with these leaves begins with one of this size and root.
pub fn consistent(leaves: &[Hash], size: u64, earlier: &Hash) -> bool {
    usize::try_from(size).is_ok_and(|size| leaves.get(..size).is_some_and(|leaves| root(leaves) == *earlier))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_of_every_small_tree_is_proved() {
        let all: Vec<Hash> = (0..70_u8).map(|number| leaf_hash(&[number])).collect();
        for size in 1..=all.len() {
            let leaves = &all[..size];
            let expected = root(leaves);
            for index in 0..size {
                let path = inclusion(leaves, index);
                let lead = |index: usize, size: usize, path: &[Hash]| {
                    root_of_inclusion(leaves[index], index as u64, size as u64, path)
                };
                assert_eq!(lead(index, size, &path), Some(expected), "{index} of {size}");
                if let Some(first) = path.first() {
                    let mut other = path.clone();
                    other[0][0] ^= 1;
                    assert_ne!(lead(index, size, &other), Some(expected));
                    assert_ne!(lead(index, size, &path[1..]), Some(expected));
                    assert_ne!(lead(index, size, &[&path[..], &[*first]].concat()), Some(expected));
                }
            }
            assert_eq!(root_of_inclusion(all[0], size as u64, size as u64, &[]), None);
            assert!(consistent(&all, size as u64, &expected));
            assert!(!consistent(&all, size as u64 - 1, &expected));
        }
    }

    #[test]
    fn roots_are_those_of_the_specification() {
        // RFC 6962: the empty tree is the hash of nothing; and two vectors of the Certificate Transparency
        // reference implementation.
        let hex = |hash: Hash| data_encoding::HEXLOWER.encode(&hash);
        assert_eq!(hex(root(&[])), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let entries: [&[u8]; 3] = [b"", b"\0", b"\x10"];
        let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        assert_eq!(hex(root(&leaves[..1])), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        assert_eq!(hex(root(&leaves[..2])), "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
        assert_eq!(hex(root(&leaves)), "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77");
    }
}
