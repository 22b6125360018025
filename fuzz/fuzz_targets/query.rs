//! Any text as a query string, and what it selects from a host of a catalog.
//!
//! Not here: paths and headers, which hyper reads.
#![no_main]

use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use lobby_core::{
    catalog::Host,
    select::Selector,
    time::Now,
    wire::rest::{self, Packet},
};
use lobby_http::query;

fuzz_target!(|text: &str| {
    let Ok(query) = query::parse(text) else { return };
    let selector = Selector::from_query(query.get("labels"), query.get("prefixes"));
    static HOST: OnceLock<Arc<Host>> = OnceLock::new();
    let host = HOST.get_or_init(lobby_fuzz::host);
    let matching = selector.matching(host);
    match &selector {
        Selector::All => assert_eq!(matching, host.labels),
        Selector::AnyLabel(_) | Selector::AnyPrefix(_) => assert_eq!(selector.takes(host), !matching.is_empty()),
    }
    let body = rest::list_of_matches([(&**host, matching.clone())], Now::default());
    let packets: Vec<Packet> = serde_json::from_slice(&body).expect("a body is JSON");
    assert!(packets[0].labels.iter().eq(matching.iter().map(|label| label.as_str())));
});
