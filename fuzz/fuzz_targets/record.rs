//! Any bytes as a binary record, as a delta, and as a delta on top of a record.
//!
//! The input is the length of the record (two bytes), the record, the delta.
//! Not here: what carries them (`gossip_datagram`, `stream_frame`).
#![no_main]

use libfuzzer_sys::fuzz_target;
use lobby_core::{record::Record, wire::binary};

fuzz_target!(|bytes: &[u8]| {
    let (record, delta) = match bytes {
        [low, high, rest @ ..] => rest.split_at(usize::from(u16::from_le_bytes([*low, *high])).min(rest.len())),
        short => (short, &[][..]),
    };
    let record = binary::decode_record(record);
    if let Ok(record) = &record {
        comes_back(record);
    }
    let Ok(delta) = binary::decode_delta(delta) else { return };
    let mut out = Vec::new();
    binary::encode_delta(&delta, &mut out);
    assert_eq!(binary::decode_delta(&out).expect("what we write we read"), delta);
    if let Ok(next) = record.as_ref().map_or(Err(()), |record| record.apply(&delta).map_err(drop)) {
        assert_eq!(next.stamp, delta.stamp);
        assert!(next.apply(&delta).is_err(), "a delta is applied once");
        comes_back(&next);
    }
});

fn comes_back(record: &Record) {
    let mut out = Vec::new();
    binary::encode_record(record, &mut out);
    let again = binary::decode_record(&out).expect("what we write we read");
    assert_eq!(*again, *record);
    assert_eq!(again.content_hash(), record.content_hash());
    if let Some(delta) = record.delta_since(record.floor) {
        let mut out = Vec::new();
        binary::encode_delta(&delta, &mut out);
        assert_eq!(binary::decode_delta(&out).expect("what we write we read"), delta);
    }
}
