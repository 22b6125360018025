//! The law of `/v1/events`: whoever does what it is told knows what a new one is told, however slow it was or cut off.
//!
//! Each kind of event by itself: `event_stream`.

use std::{collections::BTreeMap, time::Duration};

use http_body_util::BodyExt;
use lobby_core::{check::Status, local::LocalRecord};
use proptest::prelude::*;
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    catalog::{check, instance},
    event_stream::{Event, event, fleet, served},
    fixture::Fleet,
};

/// What a client knows: nodes and instances by what names them.
fn known(event: &Event, known: &mut BTreeMap<String, Value>) {
    let key = |data: &Value| format!("{} {} {}", data["node"], data["service"], data["id"]);
    match event.name.as_str() {
        "snapshot" => {
            known.clear();
            let lists = ["members", "services"].map(|list| event.data[list].as_array().cloned().unwrap_or_default());
            known.extend(lists.concat().into_iter().map(|data| (key(&data), data)));
        }
        "member-join" | "service-up" => {
            assert!(known.insert(key(&event.data), event.data.clone()).is_none(), "{event:?}");
        }
        "member-update" | "service-update" | "service-status" => {
            assert!(known.insert(key(&event.data), event.data.clone()).is_some(), "{event:?}");
        }
        "member-leave" | "member-failed" | "service-down" => {
            assert!(known.remove(&key(&event.data)).is_some(), "{event:?}");
        }
        other => assert_eq!(other, "", "{event:?}"),
    }
}

/// One random change.
fn change(fleet: Fleet, (node, what, id): (u8, u8, u8)) -> Fleet {
    let name = format!("node-{node}");
    let id = ["a", "b", "c"][usize::from(id % 3)];
    let write = |local: &mut LocalRecord| match what {
        0 => local.set_instance(&instance(id, "alpha", 1, &["x"])).unwrap(),
        1 => local.set_instance(&instance(id, "beta", 2, &[])).unwrap(),
        2 => drop(local.remove_instance(&id.parse().unwrap())),
        3 => local.set_check(&check("c", Some(id), Status::Critical)).unwrap(),
        4 => local.set_check(&check("c", None, Status::Warning)).unwrap(),
        5 => assert_eq!(local.set_labels(["zone:eu".parse().unwrap()]), 0),
        _ => assert_eq!(local.set_labels([]), 0),
    };
    if what == 7 { fleet.failed(2 + node) } else { fleet.written(2 + node, &name, write) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whoever does what it is told knows what a new one is told, however it was slow, cut off and came back.
    #[test]
    fn what_is_told_adds_up(
        steps in proptest::collection::vec((proptest::collection::vec((0_u8..3, 0_u8..8, 0_u8..3), 1..4), 0_u8..4), 1..20),
        query in prop_oneof![
            Just("/v1/events"), Just("/v1/events?label=zone"), Just("/v1/events?service=alpha&kind=member&kind=service"),
            Just("/v1/events?where=status=passing"), Just("/v1/events?where=not+label:zone+or+tag=x")
        ],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (served, mut fleet) = served(fleet());
            let (mut lives, mut lived) = (served.open(query, "").await, BTreeMap::new());
            let (mut seen, mut last) = (BTreeMap::new(), String::new());
            for (changes, how) in steps {
                fleet = changes.into_iter().fold(fleet, change);
                if let Some(snapshot) = fleet.poll() {
                    served.snapshots.send_replace(snapshot);
                }
                if how == 0 {
                    continue;
                }
                // The hub has looked at it; then whoever comes back is told the rest, all or its first part.
                tokio::time::sleep(Duration::from_millis(50)).await;
                while how > 1 && let Ok(frame) = timeout(Duration::from_millis(1), lives.body.frame()).await {
                    let bytes = frame.unwrap().unwrap().into_data().unwrap();
                    std::str::from_utf8(&bytes).unwrap().trim_end().split("\n\n").for_each(|text| known(&event(text), &mut lived));
                }
                let mut back = served.open(query, &last).await;
                let mut events = back.events().await;
                if events[0].name == "reset" {
                    assert_eq!((last.ends_with('+'), &events[0].data["why"]), (true, &"cut-off".into()));
                    events = back.events().await;
                }
                let cut = if how == 1 { 1 } else { events.len() };
                for event in events.iter().take(cut).filter(|event| !event.id.is_empty()) {
                    known(event, &mut seen);
                    last.clone_from(&event.id);
                }
                if how == 3 {
                    let mut anew = BTreeMap::new();
                    known(&served.open(query, "").await.event().await, &mut anew);
                    assert_eq!((&seen, &lived), (&anew, &anew));
                }
            }
        });
    }
}
