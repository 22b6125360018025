//! `/v1/why`: the evidence for each instance, and the verdict.

use expect_test::expect_file;
use lobby_core::{
    check::{Status, view::CheckKind},
    id::{NodeId, Origin},
    instance::Instance,
    port::PeerEvent,
    record::meta,
};

use crate::{
    catalog::{check, instance},
    fixture::{Fleet, GOSSIP, config},
};

fn fleet() -> Fleet {
    Fleet::cold(&[], false)
        .warmed()
        .written(2, "one", |local| {
            local.set_instance(&instance("web-1", "web", 80, &["x"])).unwrap();
            let mut view = check("http", Some("web-1"), Status::Critical);
            view.output = "connection refused".to_owned();
            local.set_check(&view).unwrap();
            local.set_check(&check("disk", None, Status::Passing)).unwrap();
        })
        .event(GOSSIP, PeerEvent::Suspect(Origin::Node(NodeId::from_bytes([2; 16]))))
        .written(3, "ONE", |local| {
            local.set_instance(&instance("web-1", "web", 80, &[])).unwrap();
            // As the registry makes it: the reason stands in the notes.
            let mut view = check("_service_maintenance:web-1", Some("web-1"), Status::Critical);
            (view.kind, view.notes) = (CheckKind::Maintenance, "new disk".to_owned());
            local.set_check(&view).unwrap();
        })
        .written(4, "gone", |local| local.set_instance(&instance("a/b", "Web", 80, &[])).unwrap())
        .failed(4)
        .written(5, "drains", |local| {
            local.set_meta(meta::DRAIN, "true");
            local.set_instance(&Instance { drain: true, ..instance("web-5", "web", 80, &[]) }).unwrap();
        })
}

#[tokio::test]
async fn the_evidence_for_one_instance() {
    let answer = fleet().serve(config()).get("/v1/why/WEB/web-1").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json; charset=UTF-8"));
    // An id is unique on its node alone.
    expect_file!["why.json"].assert_eq(answer.text());
}

#[tokio::test]
async fn every_instance_of_a_service() {
    let served = fleet().serve(config());
    let answer = served.get("/v1/why/web").await.json();
    let mut found: Vec<_> = answer
        .as_array()
        .unwrap()
        .iter()
        .map(|why| format!("{} {} {} {}", why["owner"]["name"], why["id"], why["verdict"], why["reason"]).replace('"', ""))
        .collect();
    found.sort();
    let want = [
        "ONE web-1 maintenance {id:_service_maintenance:web-1,kind:check,output:}",
        "drains web-5 draining {kind:drain}",
        "gone a/b failed {kind:node,state:failed}",
        "one web-1 critical {id:http,kind:check,output:connection refused}",
    ];
    assert_eq!(found, want);
    let drains = served.get("/v1/why/web/web-5").await.json();
    assert_eq!(drains[0]["drain"].to_string(), "{\"instance\":true,\"node\":true}");
}

#[tokio::test]
async fn what_nobody_offers() {
    let served = fleet().serve(config());
    for (path, status, text) in [
        ("/v1/why/none", 404, "service \"none\": nobody offers it\n"),
        ("/v1/why/none/x", 404, "service \"none\": nobody offers it\n"),
        ("/v1/why/web/x", 404, "service \"web\": no instance of it has the id \"x\"\n"),
        ("/v1/why/web/%ff", 400, "path: not UTF-8 in \"%ff\"; expected percent-encoded UTF-8\n"),
        ("/v1/why/", 404, "no route \"/v1/why/\"\n"),
        ("/v1/why/web/a/b", 404, "no route \"/v1/why/web/a/b\"\n"),
    ] {
        let answer = served.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (status, text), "{path}");
    }
    assert_eq!(served.get("/v1/why/web/a%2Fb").await.json()[0]["verdict"], "failed");
    assert_eq!(served.ask("PUT", "/v1/why/web", &[], "").await.status, 405);
}
