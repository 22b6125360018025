//! Any bytes as what came in from a broker, and as a packet to seal: what opens was sealed with our key, opens once and only
//! at its place, and is the same JSON with one field more.
//!
//! Not here: what the packet says (`packet`).
#![no_main]

use libfuzzer_sys::fuzz_target;
use lobby_core::id::{Generation, NodeId};
use lobby_exchange::seal::{OpenError, Place, SEAL_BYTES, Sealer, without_seal};
use lobby_fuzz::exchange_keys;

fuzz_target!(|bytes: &[u8]| {
    let sealer = |node| Sealer::new("fuzz", NodeId::from_bytes([node; 16]), Generation(1), &exchange_keys());
    let (mut ours, mut theirs) = (sealer(1), sealer(2));
    if let Ok(opened) = ours.open(Place::Packets, bytes) {
        assert!(opened.sender.is_some(), "only what is sealed opens");
        assert!(!opened.is_proven, "nothing was said before it");
        assert_eq!(ours.open(Place::Packets, bytes), Err(OpenError::Replayed));
        assert!(ours.open(Place::Asks, bytes).is_err());
    }
    let sealed = theirs.seal(Place::Packets, None, bytes.to_vec());
    if !bytes.ends_with(b"}") {
        assert_eq!(sealed, bytes, "what is no object has no place for a seal");
        return;
    }
    assert!(sealed.len() <= bytes.len() + SEAL_BYTES);
    assert_eq!(&*without_seal(&sealed), bytes);
    assert_eq!(ours.open(Place::Asks, &sealed), Err(OpenError::WrongKey));
    assert!(ours.open(Place::Packets, &sealed).is_ok());
    assert_eq!(ours.open(Place::Packets, &sealed), Err(OpenError::Replayed));
    if serde_json::from_slice::<serde_json::Value>(bytes)
        .is_ok_and(|json| json.as_object().is_some_and(|object| !object.is_empty()))
    {
        serde_json::from_slice::<serde_json::Value>(&sealed).expect("it is still JSON");
    }
});
