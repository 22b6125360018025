//! Any bytes as a JSON packet, as part of an answered catalog and as a question: what is read is what is written again.
//!
//! Not here: binary records (`record`).
#![no_main]

use libfuzzer_sys::fuzz_target;
use lobby_core::{
    id::ExchangeId,
    time::WallSecond,
    wire::packet::{self, Incoming},
};

const EXCHANGE: ExchangeId = ExchangeId(0);

fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = packet::decode(bytes, EXCHANGE) {
        let text = packet::encode(&read.record, read.message, cluster(&read), WallSecond(1));
        let again = packet::decode(&text, EXCHANGE).expect("what we write we read");
        assert_eq!(again.record, read.record);
        assert_eq!((again.message, again.dropped), (read.message, 0));
        assert_eq!(again.cluster, read.cluster);
        let hash = again.record.origin.node_id().map(|_| read.record.content_hash());
        assert_eq!(again.hash, hash, "only nodes with an id send a hash");
    }
    if let Ok((answer, _)) = packet::decode_answer(bytes, EXCHANGE) {
        let records = answer.records.iter().map(|answered| (&*answered.packet.record, answered.age_ms));
        let parts = packet::encode_answer(records, &answer.cluster, WallSecond(1), usize::MAX);
        assert_eq!(parts.len(), 1, "everything fits into one part without a bound");
        let (again, dropped) = packet::decode_answer(&parts[0], EXCHANGE).expect("what we write we read");
        assert_eq!((dropped, again.more), (0, false));
        let shown = |answer: &packet::Answer| -> Vec<_> {
            answer.records.iter().map(|answered| (answered.packet.record.clone(), answered.age_ms)).collect()
        };
        assert_eq!(shown(&again), shown(&answer));
    }
    if let Ok(ask) = packet::decode_ask(bytes) {
        assert_eq!(packet::decode_ask(&packet::encode_ask(&ask)).expect("what we write we read"), ask);
    }
});

fn cluster(read: &Incoming) -> &str {
    read.cluster.as_deref().unwrap_or_default()
}
