//! Transactions: forms of operations and answers, indexes, all or nothing, bounds, who may.

use std::fs;

use lobby_http::{Access, Config};
use serde_json::{Value, json};

use crate::fixture::{Answer, Fleet, Served, config};

const TXN: &str = "/v1/txn";

fn serve() -> Served {
    Fleet::new(&[]).located("dc1").node(2, "web", &[]).serve(config())
}

async fn send(served: &Served, ops: &Value) -> Answer {
    served.put(TXN, &ops.to_string()).await
}

/// What a transaction that was carried out answers.
async fn done(served: &Served, ops: Value) -> Vec<Value> {
    let answer = send(served, &ops).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"), "{ops}: {}", answer.text());
    let mut body = answer.json();
    assert_eq!(body["Errors"], Value::Null, "{body}");
    assert!(body.as_object().unwrap().contains_key("Errors"), "clients look for it");
    serde_json::from_value(body["Results"].take()).unwrap()
}

/// Which operation of a transaction that was rolled back is to blame, and why.
async fn back(served: &Served, ops: Value) -> (u64, String) {
    let revision = served.snapshots.borrow().revision;
    let answer = send(served, &ops).await;
    assert_eq!(answer.status.as_u16(), 409, "{ops}: {}", answer.text());
    let body = answer.json();
    assert_eq!((&body["Results"], body["Errors"].as_array().unwrap().len()), (&Value::Null, 1), "{body}");
    assert_eq!(served.snapshots.borrow().revision, revision, "nothing of it counts: {ops}");
    let error = &body["Errors"][0];
    (error["OpIndex"].as_u64().unwrap(), error["What"].as_str().unwrap().to_owned())
}

fn node(verb: &str, name: &str, index: u64) -> Value {
    let node = json!({"Node": name, "Address": "10.1.10.11", "Meta": {"rack": "r2"}, "ModifyIndex": index});
    json!({"Node": {"Verb": verb, "Node": node}})
}

fn service(verb: &str, of: &str, id: &str, port: u16, index: u64) -> Value {
    let service = json!({"ID": id, "Service": "db", "Port": port, "ModifyIndex": index});
    json!({"Service": {"Verb": verb, "Node": of, "Service": service}})
}

fn check(verb: &str, of: &str, id: &str, status: &str, index: u64) -> Value {
    let check = json!({"Node": of, "CheckID": id, "Name": "up", "Status": status, "ServiceID": "db-1", "ModifyIndex": index});
    json!({"Check": {"Verb": verb, "Check": check}})
}

/// A node with an instance and a check, made by one transaction, whose results they are.
async fn filled(served: &Served) -> Vec<Value> {
    let ops = json!([
        node("set", "n1", 0),
        service("set", "n1", "db-1", 5432, 0),
        check("cas", "n1", "up", "passing", 0),
        service("get", "N1", "db-1", 0, 0),
    ]);
    done(served, ops).await
}

fn index(result: &Value, kind: &str) -> u64 {
    result[kind]["ModifyIndex"].as_u64().unwrap()
}

#[tokio::test]
async fn a_node_is_made_at_once_with_all_that_it_has() {
    let served = serve();
    let results = filled(&served).await;
    assert_eq!(results.len(), 4);
    assert_eq!(results[3], results[1], "what was read is as the transaction left it");
    let entry = &served.get("/v1/health/service/db?passing").await.json()[0];
    for (result, kind, listed) in [
        (&results[0], "Node", &entry["Node"]),
        (&results[1], "Service", &entry["Service"]),
        (&results[2], "Check", &entry["Checks"][0]),
    ] {
        assert_eq!(&result[kind], listed);
        assert_eq!(result.as_object().unwrap().len(), 1);
    }
    assert_eq!((&entry["Node"]["Meta"]["rack"], &entry["Service"]["Port"]), (&json!("r2"), &json!(5432)));
    assert_eq!(done(&served, json!([])).await, [Value::Null; 0]);
    assert_eq!(served.put(TXN, "null").await.json(), json!({"Results": [], "Errors": null}));
    // Keys in any case, and a node by its id.
    let id = results[0]["Node"]["ID"].as_str().unwrap();
    let read = done(&served, json!([{"node": {"verb": "get", "node": {"id": id}}}])).await;
    assert_eq!(read, [results[0].clone()]);
}

#[tokio::test]
async fn what_is_compared_is_the_index_that_lists_show() {
    let served = serve();
    let results = filled(&served).await;
    let [of_node, of_service, of_check] = [(0, "Node"), (1, "Service"), (2, "Check")].map(|(n, kind)| index(&results[n], kind));
    let stale = |op: u64, words: &str| (op, words.to_owned());
    let (op, what) = back(&served, json!([service("cas", "n1", "db-1", 1, of_service + 1)])).await;
    assert!(op == 0 && what.ends_with("index is stale"), "{what}");
    let twice = json!([node("get", "n1", 0), service("cas", "n1", "db-1", 1, 0)]);
    assert_eq!(back(&served, twice).await, stale(1, "service \"db-1\" of node n1: it is there already"));
    assert_eq!(back(&served, json!([node("cas", "n1", 7)])).await, stale(0, "node n1: index is stale"));
    assert_eq!(back(&served, json!([node("delete-cas", "n1", 0)])).await, stale(0, "node n1: index is stale"));
    let gone = json!([check("delete-cas", "n1", "none", "", of_check)]);
    assert_eq!(back(&served, gone).await, stale(0, "check \"none\" of node n1: index is stale"));
    // What was written a moment ago has no index that anybody could know.
    let ops = json!([service("cas", "n1", "db-1", 2, of_service), service("cas", "n1", "db-1", 3, of_service)]);
    assert_eq!(back(&served, ops).await, stale(1, "service \"db-1\" of node n1: index is stale"));
    let done_now = done(&served, json!([service("cas", "n1", "db-1", 2, of_service)])).await;
    assert!(index(&done_now[0], "Service") > of_service && done_now[0]["Service"]["Port"] == 2);
    assert_eq!(done(&served, json!([check("delete-cas", "n1", "up", "", of_check)])).await.len(), 0, "no result");
    assert_eq!(done(&served, json!([node("delete-cas", "n1", of_node)])).await.len(), 0);
    assert_eq!(served.get("/v1/catalog/node/n1").await.text(), "null");
}

#[tokio::test]
async fn all_count_or_none() {
    let served = serve();
    filled(&served).await;
    for (op, words, ops) in [
        (1, "node n3 does not exist", json!([node("set", "n2", 0), node("get", "n3", 0)])),
        (1, "node n4 is not registered", json!([node("set", "n2", 0), service("set", "n4", "x", 1, 0)])),
        (
            2,
            "service \"db-1\" of node n1 does not exist",
            json!([node("set", "n2", 0), service("delete", "n1", "db-1", 0, 0), service("get", "n1", "db-1", 0, 0),]),
        ),
        (
            1,
            "service \"db-1\" of node n2 is not registered",
            json!([node("set", "n2", 0), check("set", "n2", "c", "passing", 0)]),
        ),
        // The check goes with its service.
        (
            1,
            "check \"up\" of node n1 does not exist",
            json!([service("delete", "n1", "db-1", 0, 0), check("get", "n1", "up", "", 0),]),
        ),
        (1, "node web has an agent", json!([node("set", "n2", 0), node("set", "web", 0)])),
        (0, "node WEB has an agent", json!([node("get", "WEB", 0)])),
        (0, "has an agent", json!([service("set", "here.example.com", "x", 1, 0)])),
    ] {
        let (at, what) = back(&served, ops).await;
        assert!(at == op && what.contains(words), "{at} {what}, not {op} {words}");
    }
    // What is not there can be deleted; a node that comes back has nothing of what it had.
    let ops = json!([
        service("delete", "n1", "none", 0, 0),
        node("delete", "n9", 0),
        node("delete", "n1", 0),
        node("set", "n1", 0),
        service("set", "n2", "db-9", 1, 0),
        node("set", "n2", 0),
    ]);
    assert_eq!(back(&served, ops.clone()).await.0, 4, "a service comes after its node");
    let mut ops: Vec<Value> = serde_json::from_value(ops).unwrap();
    ops.swap(4, 5);
    assert_eq!(done(&served, ops.into()).await.len(), 3);
    assert_eq!(served.get("/v1/catalog/node/n1").await.json()["Services"], json!({}));
    assert_eq!(served.get("/v1/catalog/service/db").await.json()[0]["Node"], "n2");
}

#[tokio::test]
async fn a_node_that_changes_all_the_time_rolls_back() {
    let served = serve();
    let old = served.snapshots.borrow().clone();
    filled(&served).await;
    // From now on the picture that requests see is not the newest one.
    served.snapshots.send_replace(old);
    let (op, what) = back(&served, json!([node("set", "n2", 0), node("set", "n1", 0)])).await;
    assert_eq!((op, what.as_str()), (1, "node n1 has changed meanwhile"));
}

#[tokio::test]
async fn what_is_no_transaction() {
    let served = serve();
    let kv = r#"{"KV":{"Verb":"set","Key":"a","Value":"dGVzdA=="}}"#;
    let with_kv = format!("[{},{kv}]", node("set", "n1", 0));
    for (body, status, words) in [
        ("", 400, "Failed to parse body: "),
        ("[", 400, "Failed to parse body: "),
        ("{}", 400, "Failed to parse body: expected a list"),
        ("[7]", 400, "exactly one of"),
        ("[{}]", 400, "exactly one of"),
        (r#"[{"Node":{},"Check":{}}]"#, 400, "exactly one of"),
        (r#"[{"Intention":{}}]"#, 400, "exactly one of"),
        (r#"[{"Node":{"Verb":"get","Node":7}}]"#, 400, "Node: expected an object"),
        (r#"[{"Node":{"Verb":"lock","Node":{"Node":"n1"}}}]"#, 400, "Verb \"lock\": "),
        (r#"[{"Node":{"Verb":"set","Node":{"Node":"n1"}}}]"#, 400, "address"),
        (r#"[{"Node":{"Verb":"get","Node":{"ID":"40e4a748-2192-161a-0510-9bf59fe950b5"}}}]"#, 400, "has the ID"),
        (r#"[{"Node":{"Verb":"get","Node":{"Node":"n1","ModifyIndex":-1}}}]"#, 400, "ModifyIndex"),
        (r#"[{"Service":{"Verb":"get","Service":{"ID":"x"}}}]"#, 400, "Node \"\""),
        (r#"[{"Check":{"Verb":"get","Check":{"Node":"n1"}}}]"#, 400, "Name \"\""),
        (r#"[{"Node":{"Verb":"set","Node":{"Node":"n1","Address":"1.2.3.4","Datacenter":"dc2"}}}]"#, 500, "No path"),
        (&format!("[{kv}]"), 501, "the key/value store: not available"),
        (&with_kv, 501, "the key/value store: not available"),
        (r#"[{"Session":{"Verb":"delete","Session":{"ID":"x"}}}]"#, 501, "sessions: not available"),
    ] {
        let answer = served.put(TXN, body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.text());
        assert!(answer.text().contains(words) && !answer.text().ends_with('\n'), "{body}: {}", answer.text());
    }
    assert_eq!(served.get("/v1/catalog/node/n1").await.text(), "null");
    assert_eq!(served.put("/v1/txn?dc=dc2", "[]").await.status.as_u16(), 500);
    assert_eq!(served.get(TXN).await.status.as_u16(), 405);
}

#[tokio::test]
async fn it_has_bounds() {
    let served = serve();
    let ops = |count: u64| Value::from((0..count).map(|n| node("set", &format!("n{n}"), 0)).collect::<Vec<_>>());
    assert_eq!(done(&served, ops(128)).await.len(), 128);
    let answer = send(&served, &ops(129)).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (413, "Transaction contains too many operations (129 > 128)"));
    let blanks = |count: usize| format!("[{}]", " ".repeat(count - 2));
    assert_eq!(served.put(TXN, &blanks(512 << 10)).await.status.as_u16(), 200);
    assert_eq!(served.put(TXN, &blanks((512 << 10) + 1)).await.status.as_u16(), 413);
}

#[tokio::test]
async fn what_was_only_read_says_so() {
    let served = serve();
    filled(&served).await;
    let read = send(&served, &json!([node("get", "n1", 0)])).await;
    assert_eq!((read.header("x-consul-knownleader"), read.header("x-consul-lastcontact")), ("true", "0"));
    let written = send(&served, &json!([node("set", "n1", 0)])).await;
    assert_eq!((written.status.as_u16(), written.header("x-consul-knownleader")), (200, ""));
}

const TOKENS: &str = r#"
[[token]]
name = "db"
secret = "db-s3cret"
read = false
write = ["db"]

[[token]]
name = "all"
secret = "all-s3cret"
write = ["*"]
"#;

#[tokio::test]
async fn rights_are_those_of_single_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.toml");
    fs::write(&path, TOKENS).unwrap();
    let access = Access::read(Some(path), None).unwrap();
    let served = Fleet::new(&[]).serve(Config { access, ..config() });
    let status = async |token: &str, ops: Value| {
        let body = ops.to_string();
        served.ask("PUT", TXN, &[("x-consul-token", token)], &body).await.status.as_u16()
    };
    let web = json!({"Service": {"Verb": "set", "Node": "n1", "Service": {"ID": "web-1", "Service": "web"}}});
    let of_node = json!({"Check": {"Verb": "set", "Check": {"Node": "n1", "Name": "mem"}}});
    let ops = json!([node("set", "n1", 0), service("set", "n1", "db-1", 1, 0), web, of_node]);
    assert_eq!(status("db-s3cret", ops.clone()).await, 403);
    assert_eq!(status("all-s3cret", ops).await, 200);
    for (ops, want) in [
        (json!([service("set", "n1", "db-1", 2, 0), check("set", "n1", "up", "passing", 0)]), 200),
        // The same as it is needs no right.
        (json!([node("set", "n1", 0)]), 200),
        (json!([node("delete", "n1", 0)]), 403),
        (json!([node("get", "n1", 0)]), 403),
        (json!([{"Service": {"Verb": "delete", "Node": "n1", "Service": {"ID": "web-1"}}}]), 403),
        // Taking the id of another's instance, or its check.
        (json!([service("set", "n1", "web-1", 2, 0)]), 403),
        (json!([check("set", "n1", "mem", "passing", 0)]), 403),
        (json!([{"Check": {"Verb": "delete", "Check": {"Node": "n1", "CheckID": "mem"}}}]), 403),
        (json!([service("delete", "n1", "db-1", 0, 0)]), 200),
    ] {
        assert_eq!(status("db-s3cret", ops.clone()).await, want, "{ops}");
    }
    assert_eq!(served.put(TXN, "[]").await.status.as_u16(), 403, "without a token");
}
