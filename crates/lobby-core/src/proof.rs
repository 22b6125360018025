//! That a version of a record was written by its owner: signing it, and checking that it was.
//!
//! ```text
//! signed = domain cluster[32] id[16] generation[8] version[8] phase[1] name_length[2] name content[32]
//! content = BLAKE3 over name, phase and the entries in the order of their keys, each text with its length before it
//! ```
//! The node id is the hash of the public key, so a key of somebody else proves nothing. Entries' own versions, tombstones
//! and the floor are not signed: they say which delta is enough, and a delta that is not enough makes another content.
//! That an entry is gone is proven by its absence. Ed25519 is deterministic and pure; the secret is a parameter.
//! The same key answers the challenge of a process that has our id too (`lobby_gossip`, `engine/twin`):
//!
//! ```text
//! signed = domain cluster[32] id[16] number[8] generation[8]      the number is the challenger's, the generation the answerer's
//! ```
//! A node without an agent has no key: its versions are signed with that of the agent that wrote them, if with any.
//! Not here: where secrets are kept (the crate `lobby`), who is alive, when something is checked (exchanges).

use std::{fmt, sync::Arc};

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use crate::{
    id::{Generation, NodeId},
    record::{Record, meta},
};

#[cfg(test)]
mod tests;

/// What every signed text begins with: no other text that this key signs may be taken for a record.
const DOMAIN: &[u8] = b"lobby record 1\0";

/// The same for answers to challenges.
const TWIN_DOMAIN: &[u8] = b"lobby twin 1\0";

/// What makes a version of a record its owner's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The Ed25519 public key of the owner, or of whoever wrote the record of a node without an agent.
    pub key: [u8; 32],
    /// The Ed25519 signature of what [`Checker::statement`] gives.
    pub signature: [u8; 64],
}

/// Why a record was not written by its owner, as far as can be seen. Drop it, count it, hand it on to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forged {
    /// There is no signature, and it tells an id.
    #[error("the record is not signed")]
    Unsigned,
    /// The node id is not the hash of the key.
    #[error("the record is signed by somebody else")]
    WrongKey,
    /// The signature is not of this record, this version, this cluster.
    #[error("the record's signature is wrong")]
    BadSignature,
}

/// Whose versions it makes: the secret key and the cluster. Shows the id alone when it is printed.
pub struct Signer {
    secret: SigningKey,
    cluster: [u8; 32],
    id: NodeId,
}

impl Signer {
    /// Signs with this secret, of whose public key the hash is the node id, for this cluster.
    pub fn new(secret: &[u8; 32], cluster: &str) -> Self {
        let secret = SigningKey::from_bytes(secret);
        let id = NodeId::from_public_key(secret.verifying_key().as_bytes());
        Self { secret, cluster: cluster_hash(cluster), id }
    }

    /// The node whose record it signs.
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// The record with the proof that we wrote it. Takes one Ed25519 operation and a pass over the record.
    pub fn sign(&self, record: Record) -> Record {
        let signature = self.secret.sign(&statement_of(&record, &self.cluster, &record.content()));
        let key = *self.secret.verifying_key().as_bytes();
        record.with_proof(Some(Proof { key, signature: signature.to_bytes() }))
    }

    /// Answers whoever drew this number: a process of this generation has the secret, and lives.
    pub fn answer(&self, number: u64, generation: Generation) -> [u8; 64] {
        self.secret.sign(&self.answer_statement(number, generation)).to_bytes()
    }

    /// Whether somebody who has our own secret answered so. Takes one Ed25519 operation.
    pub fn is_answer(&self, number: u64, generation: Generation, signature: &[u8; 64]) -> bool {
        let (statement, signature) = (self.answer_statement(number, generation), Signature::from_bytes(signature));
        self.secret.verifying_key().verify_strict(&statement, &signature).is_ok()
    }

    fn answer_statement(&self, number: u64, generation: Generation) -> Vec<u8> {
        let (number, generation) = (number.to_le_bytes(), generation.0.to_le_bytes());
        [TWIN_DOMAIN, &self.cluster, self.id.as_bytes(), &number, &generation].concat()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.id)
    }
}

/// The node id of this secret.
pub fn id_of(secret: &[u8; 32]) -> NodeId {
    NodeId::from_public_key(SigningKey::from_bytes(secret).verifying_key().as_bytes())
}

/// Checks who wrote a record, for the members of one cluster.
#[derive(Clone, Copy, Debug)]
pub struct Checker {
    cluster: [u8; 32],
}

impl Checker {
    /// For records of this cluster.
    pub fn new(cluster: &str) -> Self {
        Self { cluster: cluster_hash(cluster) }
    }

    /// Whether its owner wrote this record. A bare one has none that could sign; one of a node without an agent may be
    /// unsigned. Takes one Ed25519 operation and a pass over the record.
    pub fn check(&self, record: &Record) -> Result<(), Forged> {
        self.check_content(record, || record.content())
    }

    /// The same for a goodbye, which names the content of the record without having it.
    pub fn check_goodbye(&self, record: &Record, content: &[u8; 32]) -> Result<(), Forged> {
        self.check_content(record, || *content)
    }

    fn check_content(&self, record: &Record, content: impl FnOnce() -> [u8; 32]) -> Result<(), Forged> {
        let Some(id) = record.origin.node_id() else { return Ok(()) };
        let is_external = record.is_external();
        let Some(proof) = record.proof() else {
            return if is_external { Ok(()) } else { Err(Forged::Unsigned) };
        };
        let writer = if is_external { record.meta(meta::EXTERNAL).and_then(|id| id.parse().ok()) } else { Some(id) };
        if writer != Some(NodeId::from_public_key(&proof.key)) {
            return Err(Forged::WrongKey);
        }
        let key = VerifyingKey::from_bytes(&proof.key).map_err(|_| Forged::WrongKey)?;
        let statement = statement_of(record, &self.cluster, &content());
        // Strict: neither weak keys nor a second form of a signature.
        key.verify_strict(&statement, &Signature::from_bytes(&proof.signature)).map_err(|_| Forged::BadSignature)
    }

    /// What an engine or a broker is given.
    pub fn into_check(self) -> Check {
        Arc::new(move |record, content| match content {
            Some(content) => self.check_goodbye(record, content),
            None => self.check(record),
        })
    }

    /// What the signature of this record is of. Who checks the same record a thousand times, as a simulator does, can
    /// remember that it was right.
    pub fn statement(&self, record: &Record) -> Vec<u8> {
        statement_of(record, &self.cluster, &record.content())
    }
}

/// What an engine or a broker calls for each version that is newer than what it has; with the hash of the content where
/// that itself is not there. Tests of other things give one that takes all, the simulator one that remembers.
pub type Check = Arc<dyn Fn(&Record, Option<&[u8; 32]>) -> Result<(), Forged> + Send + Sync>;

/// For tests of other things: takes all.
pub fn unchecked() -> Check {
    Arc::new(|_, _| Ok(()))
}

fn cluster_hash(cluster: &str) -> [u8; 32] {
    blake3::derive_key("lobby 2026-11 record cluster name", cluster.as_bytes())
}

fn statement_of(record: &Record, cluster: &[u8; 32], content: &[u8; 32]) -> Vec<u8> {
    let name = record.name.as_str().as_bytes();
    let id = record.origin.node_id().map(|id| *id.as_bytes()).unwrap_or_default();
    let length = u16::try_from(name.len()).expect("a name has at most 128 bytes").to_le_bytes();
    let stamp = record.stamp;
    let (generation, version) = (stamp.generation.0.to_le_bytes(), stamp.version.0.to_le_bytes());
    let phase = [record.phase as u8];
    [DOMAIN, cluster, &id, &generation, &version, &phase, &length, name, content].concat()
}
