//! Growing a tree and making proofs from its nodes.

use super::{Hash, ProofError};

/// Nodes of a tree: hashes of complete subtrees.
pub trait Nodes {
    /// Why a node cannot be had.
    type Error;

    /// The root of the complete subtree over entries `index · 2^level` to `(index + 1) · 2^level`.
    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// MTH(D\[lo..hi\]). `lo` is a multiple of a power of two that is at least `hi - lo`, as every range of the
/// RFC's recursions is, so the range is complete subtrees of falling size.
fn range<N: Nodes>(nodes: &N, lo: u64, hi: u64) -> Result<Hash, N::Error> {
    let mut subtrees = Vec::new();
    let mut at = lo;
    while at < hi {
        let level = (hi - at).ilog2();
        subtrees.push(nodes.node(u8::try_from(level).unwrap_or(u8::MAX), at >> level)?);
        at += 1 << level;
    }
    let mut right = subtrees.pop().unwrap_or(Hash::EMPTY_ROOT);
    while let Some(left) = subtrees.pop() {
        right = Hash::node(&left, &right);
    }
    Ok(right)
}

/// The largest power of two below `n`, which is at least 2.
const fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// The root of the tree of `size` entries.
pub fn root<N: Nodes>(nodes: &N, size: u64) -> Result<Hash, N::Error> {
    range(nodes, 0, size)
}

/// The inclusion proof of entry `index` in the tree of `size` entries, `index < size`: PATH of RFC 6962 §2.1.1.
pub fn inclusion_proof<N: Nodes>(nodes: &N, index: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    let (mut lo, mut hi) = (0, size);
    let mut proof = Vec::new();
    while hi - lo > 1 {
        let middle = lo + split(hi - lo);
        if index < middle {
            proof.push(range(nodes, middle, hi)?);
            hi = middle;
        } else {
            proof.push(range(nodes, lo, middle)?);
            lo = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of `old` entries is a prefix of that of `new`, `old <= new`: PROOF of RFC 6962 §2.1.2.
pub fn consistency_proof<N: Nodes>(nodes: &N, old: u64, new: u64) -> Result<Vec<Hash>, N::Error> {
    let mut proof = Vec::new();
    if old == 0 || old == new {
        return Ok(proof);
    }
    let (mut lo, mut hi) = (0, new);
    while hi != old {
        let middle = lo + split(hi - lo);
        if old <= middle {
            proof.push(range(nodes, middle, hi)?);
            hi = middle;
        } else {
            proof.push(range(nodes, lo, middle)?);
            lo = middle;
        }
    }
    if lo != 0 {
        // The old tree is not one complete subtree: its last part is not known to the verifier.
        proof.push(range(nodes, lo, hi)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The right edge of a growing tree: what is needed to append, and to prove everything appended since
/// [`Edge::settle`]. It holds one node a level, and two nodes for each entry not yet settled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    levels: Vec<Level>,
}

/// The nodes of one level that are held: those with index `first` and on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Level {
    first: u64,
    nodes: Vec<Hash>,
}

impl Level {
    fn get(&self, index: u64) -> Option<&Hash> {
        self.nodes.get(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }
}

/// Bytes that are not an [`Edge`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the edge of a tree")]
pub struct InvalidEdge;

/// A node that an [`Edge`] does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node lies before the edge of the tree")]
pub struct NotHeld;

impl Edge {
    /// How many entries the tree has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends an entry's hash.
    pub fn append(&mut self, leaf: Hash) {
        let (mut index, mut hash) = (self.size, leaf);
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Level::default());
            }
            let Some(here) = self.levels.get_mut(level) else { break };
            if here.nodes.is_empty() {
                here.first = index;
            }
            here.nodes.push(hash);
            if index & 1 == 0 {
                break;
            }
            // An odd node's left sibling is always held: it was the level's peak.
            let Some(left) = here.get(index - 1) else { break };
            hash = Hash::node(left, &hash);
            index >>= 1;
        }
        self.size += 1;
    }

    /// Lets go of everything but the peaks.
    pub fn settle(&mut self) {
        for (number, level) in self.levels.iter_mut().enumerate() {
            let is_peak = (self.size >> number) & 1 == 1;
            match level.nodes.pop() {
                Some(peak) if is_peak => *level = Level { first: (self.size >> number) - 1, nodes: vec![peak] },
                _ => *level = Level::default(),
            }
        }
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        // The peaks are always held.
        root(self, self.size).unwrap_or(Hash::EMPTY_ROOT)
    }

    /// The proof that entry `index`, appended since the last [`Edge::settle`], is in the tree.
    pub fn inclusion_proof(&self, index: u64) -> Result<Vec<Hash>, NotHeld> {
        if index >= self.size { Err(NotHeld) } else { inclusion_proof(self, index, self.size) }
    }

    /// The peaks, largest subtree first, behind the size in eight bytes: what [`Edge::from_bytes`] reads.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.size.to_be_bytes().to_vec();
        for (number, level) in self.levels.iter().enumerate().rev() {
            if (self.size >> number) & 1 == 1
                && let Some(peak) = level.nodes.last()
            {
                bytes.extend_from_slice(peak.as_bytes());
            }
        }
        bytes
    }

    /// Reads what [`Edge::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidEdge> {
        let (size, peaks) = bytes.split_first_chunk::<8>().ok_or(InvalidEdge)?;
        let (peaks, rest) = peaks.as_chunks::<32>();
        let peaks: Vec<Hash> = peaks.iter().map(|p| Hash::from_bytes(*p)).collect();
        if rest.is_empty() { Self::from_peaks(u64::from_be_bytes(*size), &peaks) } else { Err(InvalidEdge) }
    }

    /// From the roots of the complete subtrees that a tree of `size` entries is made of, largest first.
    pub fn from_peaks(size: u64, peaks: &[Hash]) -> Result<Self, InvalidEdge> {
        if peaks.len() != usize::try_from(size.count_ones()).unwrap_or(usize::MAX) {
            return Err(InvalidEdge);
        }
        let depth = if size == 0 { 0 } else { size.ilog2() + 1 };
        let mut rest = peaks.iter();
        let mut levels: Vec<Level> = (0..depth)
            .rev()
            .map(|number| match (size >> number) & 1 {
                1 => Level { first: (size >> number) - 1, nodes: rest.next().copied().into_iter().collect() },
                _ => Level::default(),
            })
            .collect();
        levels.reverse();
        Ok(Self { size, levels })
    }

    /// The edge of the tree of `size` entries whose nodes are `nodes`.
    pub fn from_nodes<N: Nodes>(nodes: &N, size: u64) -> Result<Self, N::Error> {
        let mut edge = Self { size, levels: Vec::new() };
        let depth = if size == 0 { 0 } else { size.ilog2() + 1 };
        for number in 0..depth {
            edge.levels.push(match (size >> number) & 1 {
                1 => {
                    let first = (size >> number) - 1;
                    Level { first, nodes: vec![nodes.node(u8::try_from(number).unwrap_or(u8::MAX), first)?] }
                }
                _ => Level::default(),
            });
        }
        Ok(edge)
    }
}

impl Nodes for Edge {
    type Error = NotHeld;

    fn node(&self, level: u8, index: u64) -> Result<Hash, NotHeld> {
        self.levels.get(usize::from(level)).and_then(|l| l.get(index)).copied().ok_or(NotHeld)
    }
}

/// Whether what an [`Edge`] has appended since it was settled at `old_size` extends the tree it was then.
pub fn extends(edge: &Edge, old_size: u64, old_root: &Hash) -> Result<(), ProofError> {
    let proof = consistency_proof(edge, old_size, edge.size).map_err(|NotHeld| ProofError::OutOfRange)?;
    super::verify_consistency(old_size, old_root, edge.size, &edge.root(), &proof)
}
