//! Synapse's own file, what is too old, and files that are none.

use super::*;

/// As Synapse 0.18 writes it.
const SYNAPSES: &str = r#"{
  "web": {
    "web1_10.0.0.1:80": {"name": "web1", "host": "10.0.0.1", "port": 80, "id": 3, "labels": {"az": "a"}, "timestamp": 1000,
      "haproxy_server_id": 7, "haproxy_server_options": "check inter 1s", "weight": 5},
    "10.0.0.2:80": {"host": "10.0.0.2", "port": "80", "timestamp": 900.5, "unknown": [1]},
    "no port": {"host": "10.0.0.3"}, "no record": 7,
    "watcher_config_for_generator": {"port": 1234}
  },
  "gone": {"10.0.0.9:80": {"host": "10.0.0.9", "port": 80, "timestamp": 1}},
  "nonsense": null
}"#;

#[test]
fn synapses_file_is_read_and_what_is_too_old_is_dropped() {
    let mut saved = Saved::parse(SYNAPSES.as_bytes()).unwrap();
    saved.expire(Duration::from_secs(100), 1000);
    assert_eq!(saved.services.keys().collect::<Vec<_>>(), ["web"]);
    let web = &saved.services["web"];
    assert_eq!(web.keys().collect::<Vec<_>>(), ["10.0.0.2:80", "web1_10.0.0.1:80"]);
    let first = &web["web1_10.0.0.1:80"];
    assert_eq!((first.haproxy_id, first.seen, first.backend.id, first.backend.weight), (Some(7), 1000, Some(3), Some(5)));
    assert_eq!((first.backend.name.as_str(), first.backend.labels["az"].as_str()), ("web1", "a"));
    assert_eq!(first.backend.haproxy_server_options, "check inter 1s");
    assert_eq!((web["10.0.0.2:80"].backend.port, web["10.0.0.2:80"].seen), (80, 900));
    saved.expire(Duration::from_secs(100), 1001);
    assert_eq!(saved.services["web"].len(), 1, "at the bound it stays, beyond it goes");
    saved.expire(Duration::ZERO, u64::MAX);
    assert_eq!(saved, Saved::default());
}

#[test]
fn what_is_printed_reads_back() {
    let mut saved = Saved::parse(SYNAPSES.as_bytes()).unwrap();
    saved.services.get_mut("web").unwrap().get_mut("10.0.0.2:80").unwrap().backend.is_backup = true;
    saved.services.get_mut("web").unwrap().get_mut("10.0.0.2:80").unwrap().is_listed = Some(false);
    assert_eq!(Saved::parse(saved.print().as_bytes()), Some(Saved { services: saved.services.clone() }));
    assert!(Saved::default().print().ends_with("}\n"));
}

#[tokio::test]
async fn a_file_that_is_none_is_empty_and_a_new_one_takes_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let ttl = Duration::from_secs(1_000_000);
    for text in ["", "[]", "{\"web\": {", "\u{0}"] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(read(&path, ttl, 0).await, Saved::default(), "{text:?}");
    }
    std::fs::File::create(&path).unwrap().set_len(FILE_BYTES + 1).unwrap();
    assert_eq!(read(&path, ttl, 0).await, Saved::default(), "too long");
    let saved = Saved::parse(SYNAPSES.as_bytes()).unwrap();
    write(&path, &saved, &Surroundings::default()).await.unwrap();
    let mut want = saved;
    want.expire(ttl, 1000);
    assert_eq!(read(&path, ttl, 1000).await, want);
    assert_eq!(read(&folder.path().join("none"), ttl, 0).await, Saved::default());
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(text in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = Saved::parse(&text);
    }
}
