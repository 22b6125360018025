//! Joining, making others leave, and who may use the verbs of gossip.

use std::sync::Mutex;

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use lobby_core::{
    id::NodeId,
    port::gossip::{GossipCommand, GossipError, JoinOutcome},
};
use lobby_http::Config;

use crate::{
    fixture::{Fleet, config, from, local},
    gossip::{Gossip, gossip, hex, id, serve, serve_with},
};

/// Reaches whoever has port 1314, and nobody else.
fn joining() -> Gossip {
    gossip(|command| {
        let GossipCommand::Join(addresses, answer) = command else { panic!("unexpected {command:?}") };
        let note = format!("join {addresses:?}");
        let (good, bad): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.ends_with(":1314"));
        let _ = answer.send(Ok(JoinOutcome {
            reached: good.iter().filter_map(|address| address.parse().ok()).collect(),
            failed: bad.into_iter().map(|address| (address, "connection refused".to_owned())).collect(),
        }));
        note
    })
}

#[tokio::test]
async fn a_join_tells_whom_it_reached() {
    let gossip = joining();
    let served = serve(Fleet::new(&[]), &gossip);
    // As Consul's clients read it.
    let answer = served.put("/v1/agent/join/10.0.0.7:1314?wan=1", "").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, ""));
    let answer = served.put("/v1/agent/join/10.0.0.7:1314?verbose", "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.json(), serde_json::json!({"reached": ["10.0.0.7:1314"], "failed": []}));
    // Brackets of IPv6 addresses come as they are or encoded; several addresses are a list.
    let answer = served.ask("POST", "/v1/agent/join/[::1]:1314,%5B2a03%3A%3A1%5D:1314,%20web:1?verbose", &[], "").await;
    let want = serde_json::json!({
        "reached": ["[2a03::1]:1314", "[::1]:1314"],
        "failed": [{"address": "web:1", "why": "connection refused"}],
    });
    assert_eq!(answer.json(), want);
    let one = "join [\"10.0.0.7:1314\"]";
    assert_eq!(gossip.asked(), [one, one, "join [\"[::1]:1314\", \"[2a03::1]:1314\", \"web:1\"]"]);
}

#[tokio::test]
async fn a_join_that_reaches_nobody_fails() {
    let gossip = joining();
    let served = serve(Fleet::new(&[]), &gossip);
    let answer = served.put("/v1/agent/join/web:1,db:2", "").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.text(), "join: nobody of this cluster answered: web:1: connection refused; db:2: connection refused");
    let many = (0..65).map(|i| format!("h{i}:1314")).collect::<Vec<_>>().join(",");
    for path in ["/v1/agent/join/,", &format!("/v1/agent/join/{many}"), &format!("/v1/agent/join/{}:1314", "x".repeat(300))] {
        let answer = served.put(path, "").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        assert!(answer.text().starts_with("address: "), "{}", answer.text());
    }
    for bad in
        ["web:0", "web:65536", "web:x", "web:+1", "a%20b", ":1314", "a%2Fb", "::1]:1", "1:2:3", "fe80::1%25eth0", "[web]:1"]
    {
        let answer = served.put(&format!("/v1/agent/join/db:1314,{bad}"), "").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
        assert!(answer.text().contains("expected host, host:port"), "{}", answer.text());
    }
    assert_eq!(gossip.asked().len(), 1);
    for good in ["_lobby._tcp.example.com", "2a03::1", "[2a03::1]", "büro", "my_host.local", "10.0.0.1"] {
        assert_eq!(served.put(&format!("/v1/agent/join/{good}"), "").await.status, StatusCode::BAD_GATEWAY, "{good}");
    }
}

/// Notes what is to leave; node 2 is alive, and only 2 to 5 are known.
fn leaving() -> Gossip {
    gossip(|command| {
        let GossipCommand::ForceLeave { id, prune, answer } = command else { panic!("unexpected {command:?}") };
        let _ = answer.send(match id.as_bytes()[0] {
            2 => Err(GossipError::Alive("alive".parse().unwrap())),
            3..=5 => Ok(()),
            _ => Err(GossipError::UnknownNode(id.to_string())),
        });
        format!("{}{}", id.as_bytes()[0], if prune { " prune" } else { "" })
    })
}

#[tokio::test]
async fn eight_digits_of_an_id_name_a_node() {
    let gossip = leaving();
    // The name of node 5 looks like the beginning of the id of node 4.
    let fleet = Fleet::new(&[]).node(3, "db", &[]).node(4, "web", &[]).node(5, "04040404", &[]).node(0xab, "x", &[]);
    let mut near = *id(0xab).as_bytes();
    near[15] = 0;
    let near = NodeId::from_bytes(near);
    let fleet = fleet.of_id(near, "y", &[]).failed(3);
    let served = serve(fleet, &gossip);
    let leave = async |node: &str| {
        let answer = served.put(&format!("/v1/agent/force-leave/{node}"), "").await;
        (answer.status.as_u16(), answer.text().to_owned())
    };
    assert_eq!(leave("03030303").await.0, 200);
    assert_eq!(leave("04040404").await.0, 200, "a name comes first");
    assert_eq!(leave("040404040").await.0, 200);
    assert_eq!(gossip.asked(), ["3", "5", "4"]);
    for unknown in ["0303030", "03030304", "0303030x", &format!("{}0", hex(3))] {
        assert_eq!(leave(unknown).await, (404, format!("no node \"{unknown}\"")));
    }
    let text = format!("several ids begin with ABABABAB: use more of one: {near}, {}", hex(0xab));
    assert_eq!(leave("ABABABAB").await, (409, text.clone()));
    // The other routes have the same rule.
    for path in ["/v1/coordinate/node/ABABABAB", "/v1/nodes?near=ABABABAB"] {
        let answer = served.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.text().trim_end()), (409, text.as_str()), "{path}");
    }
    assert_eq!(gossip.asked().len(), 3);
}

#[tokio::test]
async fn a_node_is_made_to_leave_by_name_or_id() {
    let gossip = leaving();
    // The name of node 5 looks like an id, that of node 3 needs encoding.
    let looks = hex(0xab);
    let fleet = Fleet::new(&[]).node(2, "alive", &[]).node(3, "büro+%20#1?", &[]).node(4, "twin", &[]).node(5, &looks, &[]);
    let fleet = fleet.node(6, "twin", &[]).bare("go", &[]).failed(3).failed(4);
    let served = serve(fleet, &gossip);
    let leave = async |node: &str| {
        let answer = served.put(&format!("/v1/agent/force-leave/{node}"), "").await;
        (answer.status.as_u16(), answer.text().to_owned())
    };
    assert_eq!(leave("b%C3%BCro+%2520%231%3f").await, (200, String::new()));
    assert_eq!(leave(&format!("{}?prune", hex(4))).await, (200, String::new()));
    assert_eq!(leave(&format!("{looks}?prune=1")).await, (200, String::new()));
    assert_eq!(leave("alive").await, (200, String::new()), "with Consul it would contradict");
    let strict = leave("alive?strict").await;
    assert_eq!(strict, (409, "node alive is alive: only a failed node is made to leave".to_owned()));
    assert_eq!(leave(&hex(7)).await.0, 404, "an id that nobody here knows is gossip's to judge");
    assert_eq!(gossip.asked(), ["3", "4 prune", "5 prune", "2", "2", "7"]);

    let ambiguous = leave("twin").await;
    assert_eq!(ambiguous, (409, format!("several nodes are called twin: use an id: {}, {}", hex(4), hex(6))));
    assert_eq!(leave("nobody").await, (404, "no node \"nobody\"".to_owned()));
    assert_eq!(leave("go").await.0, 404, "who tells no id cannot be named by gossip");
    assert_eq!(leave("buro").await.0, 404);
    for bad in ["b%C3", "b%zz", "a%00b", "a%0ab"] {
        assert_eq!(leave(bad).await.0, 400, "{bad}");
    }
    // Nothing is normalised away: a path with another segment is another path.
    for other in ["a/../alive", "/alive", "alive/", ""] {
        assert_eq!(leave(other).await.0, 404, "{other}");
    }
    assert_eq!(leave("a%2F..%2Falive").await, (404, "no node \"a/../alive\"".to_owned()));
    assert_eq!(gossip.asked().len(), 6);
}

/// Every verb that costs the fleet or changes it is behind the operator's door; what only tells is not.
#[tokio::test]
async fn who_may() {
    const VERBS: &[&str] = &[
        "/v1/agent/join/10.0.0.1:1314",
        "/v1/agent/force-leave/x",
        "/v1/keys/install",
        "/v1/keys/use",
        "/v1/keys/remove",
        "/v1/event/fire/x",
        "/v1/event/fire/",
        "/v1/ask/x",
        "/v1/ask/",
    ];
    const LISTS: &[&str] =
        &["/v1/members", "/v1/agent/members", "/v1/agent/info", "/v1/keys", "/v1/event/list", "/v1/coordinate/nodes"];
    let refused = |_| panic!("gossip was asked");
    let silent = gossip(refused);
    let open = serve(Fleet::new(&[]), &silent);
    let token = serve_with(Fleet::new(&[]), &silent, Config { token: Some("s3cret".to_owned()), ..config() });
    let send = async |served: &crate::fixture::Served, caller, method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path).header("host", "localhost").body(Body::empty()).unwrap();
        served.send(caller, request).await.status
    };
    for path in VERBS {
        assert_eq!(send(&open, from("10.0.0.9:5", false), "PUT", path).await, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(send(&token, local(), "POST", path).await, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(send(&open, local(), "GET", path).await, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
    for path in LISTS {
        assert_eq!(send(&token, local(), "GET", path).await, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(send(&open, local(), "PUT", path).await, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
    // An agent that shows only its health has none of it.
    let closed = serve_with(Fleet::new(&[]), &silent, Config { disable_api: true, ..config() });
    for path in VERBS.iter().chain(LISTS) {
        assert_eq!(send(&closed, local(), "PUT", path).await, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_list_is_no_operators_matter() {
    let answered = Mutex::new(0);
    let gossip = gossip(move |command| {
        match command {
            GossipCommand::View(answer) => drop(answer.send(Ok(Default::default()))),
            GossipCommand::Keys(answer) => drop(answer.send(Ok(Default::default()))),
            other => panic!("unexpected {other:?}"),
        }
        *answered.lock().unwrap() += 1;
        String::new()
    });
    let served = serve(Fleet::new(&[]), &gossip);
    for path in ["/v1/members", "/v1/keys", "/v1/event/list", "/v1/coordinate/nodes", "/v1/agent/info"] {
        let request = Request::get(path).header("host", "x").body(Body::empty()).unwrap();
        assert_eq!(served.send(from("10.0.0.9:5", false), request).await.status, StatusCode::OK, "{path}");
    }
}
