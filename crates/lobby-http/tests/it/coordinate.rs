//! Coordinates in Consul's shape, and nodes sorted by distance.

use std::time::Duration;

use axum::http::StatusCode;
use lobby_core::port::gossip::{GossipCommand, View};
use tokio::time::{Instant, sleep};

use crate::{
    fixture::{Fleet, NOW, Served},
    gossip::{at, gossip, hex, id, member, member_at, serve, viewed},
};

fn fleet() -> Fleet {
    Fleet::new(&[])
        .located("dc1")
        .node(2, "far", &[])
        .node(3, "near", &[])
        .node(4, "twin", &[])
        .node(5, "twin", &[])
        .bare("go", &[])
}

fn members() -> Vec<lobby_core::port::gossip::Member> {
    vec![member_at(1, 0.0), member_at(2, 50.0), member_at(3, 10.0), member_at(4, 20.0), member(5, "alive"), member_at(9, 30.0)]
}

#[tokio::test]
async fn coordinates_of_all_that_told_theirs() {
    let served = serve(fleet(), &viewed(members()));
    let answer = served.get("/v1/coordinate/nodes?dc=DC1").await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/json"));
    assert_eq!(answer.header("x-consul-index"), answer.header("x-lobby-revision"));
    let list = answer.json();
    let names: Vec<_> = list.as_array().unwrap().iter().map(|node| node["Node"].as_str().unwrap()).collect();
    assert_eq!(names, [hex(9).as_str(), "far", "here.example.com", "near", "twin"]);
    assert!(
        answer.text().contains(
            "{\"Node\":\"far\",\"Segment\":\"\",\"Coord\":{\"Vec\":[0.05,0.0,0.0,0.0,0.0,0.0,0.0,0.0],\"Error\":0.5,\
             \"Adjustment\":0.0,\"Height\":0.00001}}"
        ),
        "{}",
        answer.text()
    );
    assert_eq!(served.get("/v1/coordinate/nodes?dc=dc2").await.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn each_answer_tells_how_fresh_it_is() {
    let served = serve(fleet(), &viewed(members()));
    for path in ["nodes", "datacenters", "node/_agent"] {
        for (query, want) in [("", "leader"), ("?stale", "stale"), ("?consistent", "consistent")] {
            let answer = served.get(&format!("/v1/coordinate/{path}{query}")).await;
            assert_eq!(answer.header("x-consul-effective-consistency"), want, "{path}{query}");
        }
        let both = served.get(&format!("/v1/coordinate/{path}?stale&consistent")).await;
        assert_eq!(both.status, StatusCode::BAD_REQUEST, "{path}");
    }
}

#[tokio::test]
async fn the_one_data_centre_has_all_of_them() {
    let served = serve(fleet(), &viewed(members()));
    let list = served.get("/v1/coordinate/datacenters").await.json();
    let [only] = &list.as_array().unwrap()[..] else { panic!("{list}") };
    let keys: Vec<_> = only.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["AreaID", "Coordinates", "Datacenter"]);
    assert_eq!((&only["Datacenter"], only["Coordinates"].as_array().unwrap().len()), (&"dc1".into(), 5));
}

#[tokio::test]
async fn the_coordinate_of_one_node() {
    let served = serve(fleet(), &viewed(members()));
    for (node, names) in [
        ("far", vec!["far"]),
        (&hex(2), vec!["far"]),
        (&hex(2)[..8], vec!["far"]),
        (&hex(1)[..8], vec!["here.example.com"]),
        ("twin", vec!["twin"]),
        ("_agent", vec!["here.example.com"]),
        ("here.example.com", vec!["here.example.com"]),
    ] {
        let list = served.get(&format!("/v1/coordinate/node/{node}")).await.json();
        let got: Vec<_> = list.as_array().unwrap().iter().map(|node| node["Node"].as_str().unwrap().to_owned()).collect();
        assert_eq!(got, names, "{node}");
    }
    for (node, word) in [
        ("nobody", "no node \"nobody\""),
        ("go", "no node \"go\""),
        (&hex(5), "the coordinate of node \"0505"),
        (&hex(77), "the coordinate of node \"4d4d"),
    ] {
        let answer = served.get(&format!("/v1/coordinate/node/{node}")).await;
        assert!(answer.status == StatusCode::NOT_FOUND && answer.text().contains(word), "{node}: {}", answer.text());
    }
}

#[tokio::test(start_paused = true)]
async fn coordinates_can_be_waited_on() {
    let mut fleet = Fleet::new(&[]);
    let old = fleet.snapshot();
    let new = fleet.node(2, "web", &[]).snapshot();
    let served = serve(Fleet::new(&[]), &viewed(members()));
    served.snapshots.send_replace(old.clone());
    let start = Instant::now();
    let change = async {
        sleep(Duration::from_secs(7)).await;
        served.snapshots.send_replace(new.clone());
    };
    let path = format!("/v1/coordinate/nodes?index={}&wait=1m", old.revision.0);
    let (answer, ()) = tokio::join!(served.get(&path), change);
    assert_eq!(start.elapsed(), Duration::from_secs(7));
    assert_eq!(answer.header("x-consul-index"), new.revision.0.to_string());
    assert!(answer.text().contains("\"web\""), "{}", answer.text());
    // A lower index is answered at once.
    served.get("/v1/coordinate/node/web?index=1").await;
    assert_eq!(start.elapsed(), Duration::from_secs(7));
}

#[tokio::test]
async fn nodes_sorted_by_distance() {
    let served = serve(fleet(), &viewed(members()));
    let list = async |near: &str| {
        let answer = served.get(&format!("/v1/nodes?near={near}")).await;
        let nodes = answer.json();
        let nodes = nodes.as_array().unwrap_or_else(|| panic!("{}", answer.text())).clone();
        let shown = |node: &serde_json::Value| (node["name"].as_str().unwrap().to_owned(), node["distance_ms"].as_f64());
        nodes.iter().map(shown).collect::<Vec<_>>()
    };
    let own = |list: &[(&str, Option<f64>)]| list.iter().map(|(name, ms)| ((*name).to_owned(), *ms)).collect::<Vec<_>>();
    let here = [
        ("here.example.com", Some(0.0)),
        ("near", Some(10.02)),
        ("twin", Some(20.02)),
        ("far", Some(50.02)),
        ("twin", None),
        ("go", None),
    ];
    assert_eq!(list("_agent").await, own(&here));
    let far: Vec<_> = list("far").await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(far, ["far", "twin", "near", "here.example.com", "twin", "go"]);
    for (near, status) in [("nobody", 404), ("twin", 409), (&hex(5), 404)] {
        assert_eq!(served.get(&format!("/v1/nodes?near={near}")).await.status, status, "{near}");
    }
    assert_eq!(list(&hex(2)[..8]).await, list("far").await);
    let plain = served.get("/v1/nodes?near=").await;
    assert!(!plain.text().contains("distance_ms"), "{}", plain.text());
}

#[tokio::test]
async fn a_coordinate_that_is_not_known_is_asked_for() {
    let gossip = gossip(|command| match command {
        GossipCommand::View(answer) => {
            let _ = answer.send(Ok(View { members: vec![member(1, "alive"), member_at(2, 10.0)], numbers: Vec::new() }));
            "view".to_owned()
        }
        GossipCommand::Coordinates(ids, answer) => {
            let _ = answer.send(Ok(ids.iter().map(|_| Some(at(0.0))).collect()));
            format!("asked {}", ids == [id(1)])
        }
        other => panic!("unexpected {other:?}"),
    });
    let served = serve(Fleet::new(&[]).node(2, "web", &[]), &gossip);
    assert_eq!(served.get("/v1/coordinate/node/_agent").await.status, StatusCode::OK);
    let list = served.get("/v1/nodes?near=_agent").await.json();
    assert_eq!(list[1]["distance_ms"], serde_json::json!(10.02));
    assert_eq!(gossip.asked(), ["asked true", "asked true", "view"]);
}

async fn update(served: &Served, node: &str, vec: [f64; 8]) -> (u16, String) {
    let body = serde_json::json!({"Node": node, "Segment": "", "Coord": {"Vec": vec, "Error": 0.5, "Height": 0.00001}});
    let answer = served.put("/v1/coordinate/update", &body.to_string()).await;
    (answer.status.as_u16(), answer.text().to_owned())
}

async fn vec_of(served: &Served, node: &str) -> serde_json::Value {
    let list = served.get(&format!("/v1/coordinate/node/{node}")).await.json();
    list[0]["Coord"]["Vec"].clone()
}

#[tokio::test]
async fn a_node_without_an_agent_is_where_somebody_says() {
    let served = serve(fleet(), &viewed(members()));
    let body = r#"{"Node":"ext","Address":"10.1.1.1","Service":{"Service":"web"}}"#;
    assert_eq!(served.put("/v1/catalog/register", body).await.text(), "true");
    let other = r#"{"Node":"else","Address":"10.1.1.2","Service":{"Service":"web"}}"#;
    assert_eq!(served.put("/v1/catalog/register", other).await.text(), "true");
    assert_eq!(served.get("/v1/coordinate/node/ext").await.status, StatusCode::NOT_FOUND);
    let place = [0.25, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -0.125];
    assert_eq!(update(&served, "EXT", place).await, (200, String::new()));
    assert_eq!(vec_of(&served, "ext").await, serde_json::json!(place));
    let nodes = served.get("/v1/coordinate/nodes").await.json();
    let names: Vec<_> = nodes.as_array().unwrap().iter().map(|node| node["Node"].as_str().unwrap()).collect();
    assert_eq!(names, [hex(9).as_str(), "ext", "far", "here.example.com", "near", "twin"]);
    // What barely moves it is not worth a version at every agent; the same node registered again stays where it is.
    let revision = served.snapshots.borrow().revision;
    let near = [0.2505, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -0.125];
    assert_eq!(update(&served, "ext", near).await.0, 200);
    assert_eq!(served.snapshots.borrow().revision, revision);
    assert_eq!(served.put("/v1/catalog/register", &body.replace("10.1.1.1", "10.1.1.3")).await.text(), "true");
    assert_eq!(vec_of(&served, "ext").await, serde_json::json!(place));
    // It counts for what is near, from both ends.
    assert_eq!(update(&served, "else", [0.001, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]).await.0, 200);
    let order = async |near: &str| {
        let list = served.get(&format!("/v1/catalog/service/web?near={near}")).await.json();
        list.as_array().unwrap().iter().map(|node| node["Node"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(order("_agent").await, ["else", "ext"]);
    assert_eq!(order("ext").await, ["ext", "else"]);
    assert_eq!(served.put("/v1/catalog/deregister", r#"{"Node":"ext"}"#).await.text(), "true");
    assert_eq!(update(&served, "ext", place).await, (404, "no node \"ext\"".to_owned()));
}

#[tokio::test]
async fn of_a_member_it_counts_for_a_while() {
    let served = serve(fleet(), &viewed(members()));
    let (place, gossiped) = ([0.5; 8], serde_json::json!([0.05, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]));
    assert_eq!(vec_of(&served, "far").await, gossiped);
    assert_eq!(update(&served, "far", place).await, (200, String::new()));
    assert_eq!(vec_of(&served, "far").await, serde_json::json!(place));
    assert_eq!(update(&served, "here.example.com", place).await.0, 200);
    let nodes = served.get("/v1/coordinate/nodes").await.json();
    let so: Vec<_> = nodes.as_array().unwrap().iter().filter(|node| node["Coord"]["Vec"] == serde_json::json!(place)).collect();
    assert_eq!(so.len(), 2);
    served.clock.lock().unwrap().moment = NOW.moment + Duration::from_secs(15);
    assert_eq!(vec_of(&served, "far").await, gossiped, "then gossip knows better");
}

#[tokio::test]
async fn what_is_no_place_or_no_node_is_refused() {
    let served = serve(fleet(), &viewed(members()));
    for (node, status) in [("nobody", 404), ("go", 404), ("twin", 409), (&hex(77), 404), ("", 400)] {
        assert_eq!(update(&served, node, [0.0; 8]).await.0, status, "{node}");
    }
    for body in [
        "",
        "{}",
        r#"{"Node":"far"}"#,
        r#"{"Node":"far","Coord":{"Vec":[0,0,0]}}"#,
        r#"{"Node":"far","Coord":{"Vec":[0,0,0,0,0,0,0,1e999]}}"#,
        r#"{"Node":"far","Coord":{"Vec":[0,0,0,0,0,0,0,0],"Height":-1}}"#,
        r#"{"Node":"far","Segment":"a","Coord":{"Vec":[0,0,0,0,0,0,0,0]}}"#,
    ] {
        let answer = served.put("/v1/coordinate/update", body).await;
        assert!(answer.status == StatusCode::BAD_REQUEST && !answer.text().is_empty(), "{body}: {}", answer.text());
    }
    let good = r#"{"Node":"far","Coord":{"Vec":[0,0,0,0,0,0,0,0]}}"#;
    assert_eq!(served.put("/v1/coordinate/update?dc=dc2", good).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(served.get("/v1/coordinate/update").await.status, StatusCode::METHOD_NOT_ALLOWED);
}
