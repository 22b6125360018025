//! Named tokens at the routes that write: a service by its name before and after, checks with their instance, all else.

use std::fs;

use lobby_core::instance::Instance;
use lobby_http::{Access, Config};

use crate::fixture::{Fleet, Served, config};

const TOKENS: &str = r#"
[[token]]
name = "web"
secret = "web-s3cret"
read = false
write = ["web", "web-sidecar-proxy"]

[[token]]
name = "all"
secret = "all-s3cret"
write = ["*"]
"#;

fn serve() -> Served {
    serve_fleet(Fleet::new(&[]))
}

fn serve_fleet(fleet: Fleet) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.toml");
    fs::write(&path, TOKENS).unwrap();
    let access = Access::read(Some(path), None).unwrap();
    fleet.serve(Config { access, ..config() })
}

async fn status(served: &Served, token: &str, method: &str, path: &str, body: &str) -> u16 {
    let headers = [("x-consul-token", token)];
    served.ask(method, path, &headers, body).await.status.as_u16()
}

#[tokio::test]
async fn a_token_for_one_service_writes_that_and_nothing_else() {
    let served = serve();
    let register = "/v1/agent/service/register";
    for body in [r#"{"ID":"db-1","Name":"db","Check":{"TTL":"1s"}}"#, r#"{"ID":"web-1","Name":"web","Check":{"TTL":"1s"}}"#] {
        assert_eq!(status(&served, "all-s3cret", "PUT", register, body).await, 200);
    }
    let node = r#"{"Name":"mem","TTL":"1s"}"#;
    assert_eq!(status(&served, "all-s3cret", "PUT", "/v1/agent/check/register", node).await, 200);
    served.registry.asked();
    for (method, path, body) in [
        ("PUT", register, r#"{"Name":"db"}"#),
        // Taking the id of another's instance, or of a check of it, or a sidecar of another name.
        ("PUT", register, r#"{"ID":"db-1","Name":"web"}"#),
        ("PUT", register, r#"{"ID":"x","Name":"web","Check":{"CheckID":"service:db-1","TTL":"1s"}}"#),
        ("PUT", register, r#"{"ID":"x","Name":"web","Connect":{"SidecarService":{"Name":"db"}}}"#),
        ("PUT", "/v1/agent/service/deregister/db-1", ""),
        ("PUT", "/v1/agent/service/maintenance/db-1?enable=true", ""),
        ("PUT", "/v1/agent/maintenance?enable=true", ""),
        ("PUT", "/v1/agent/check/register", r#"{"Name":"x","TTL":"1s","ServiceID":"db-1"}"#),
        ("PUT", "/v1/agent/check/register", r#"{"Name":"x","TTL":"1s"}"#),
        ("PUT", "/v1/agent/check/register", r#"{"ID":"mem","Name":"x","TTL":"1s","ServiceID":"web-1"}"#),
        ("PUT", "/v1/agent/check/deregister/service:db-1", ""),
        ("PUT", "/v1/agent/check/deregister/mem", ""),
        ("PUT", "/v1/agent/check/pass/service:db-1", ""),
        ("PUT", "/v1/agent/check/fail/mem", ""),
        ("PUT", "/v1/agent/check/update/service:db-1", r#"{"Status":"passing"}"#),
        ("PUT", "/v1/services/db/x", ""),
        ("PUT", "/v1/services/web/db-1", ""),
        ("DELETE", "/v1/services/db/db-1", ""),
        ("PUT", "/v1/services/db/db-1/drain", ""),
        ("PUT", "/v1/services/db/db-1/checks/service:db-1", r#"{"status":"passing"}"#),
        ("PUT", "/v1/drain", ""),
        ("POST", "/v1/hold", r#"{"name":"db"}"#),
        ("POST", "/v1/hold", r#"{"id":"db-1","name":"web"}"#),
    ] {
        assert_eq!(status(&served, "web-s3cret", method, path, body).await, 403, "{method} {path} {body}");
    }
    assert_eq!(served.registry.asked(), [""; 0]);
    for (method, path, body) in [
        ("PUT", register, r#"{"ID":"web-2","Name":"web","Connect":{"SidecarService":{}}}"#),
        ("PUT", "/v1/agent/check/pass/service:web-1", ""),
        ("PUT", "/v1/agent/service/maintenance/web-1?enable=true", ""),
        ("PUT", "/v1/services/web/web-1/drain", ""),
        ("DELETE", "/v1/services/web/web-1", ""),
        ("PUT", "/v1/agent/service/deregister/web-2", ""),
    ] {
        assert_eq!(status(&served, "web-s3cret", method, path, body).await, 200, "{method} {path} {body}");
    }
}

#[tokio::test]
async fn a_token_for_one_service_registers_that_alone_on_nodes_without_an_agent() {
    let served = serve();
    let (register, deregister) = ("/v1/catalog/register", "/v1/catalog/deregister");
    let node = r#"{"Node":"n1","Address":"10.0.0.1","Service":{"Service":"db","ID":"db-1"}}"#;
    assert_eq!(status(&served, "web-s3cret", "PUT", register, node).await, 403, "the node is nobody's service");
    assert_eq!(status(&served, "all-s3cret", "PUT", register, node).await, 200);
    for check in [r#"{"CheckID":"db-up","Name":"up","ServiceID":"db-1"}"#, r#"{"CheckID":"mem","Name":"mem"}"#] {
        let body = format!(r#"{{"Node":"n1","Address":"10.0.0.1","Check":{check}}}"#);
        assert_eq!(status(&served, "all-s3cret", "PUT", register, &body).await, 200);
    }
    for (path, body, want) in [
        (
            register,
            r#"{"Node":"n1","Address":"10.0.0.1","Service":{"Service":"web"},"Check":{"Name":"c","ServiceID":"web"}}"#,
            200,
        ),
        (register, r#"{"Node":"n1","Address":"10.0.0.2","Service":{"Service":"web"}}"#, 403),
        (register, r#"{"Node":"n1","Address":"10.0.0.1","Service":{"Service":"web","ID":"db-1"}}"#, 403),
        (register, r#"{"Node":"n1","Address":"10.0.0.1","Check":{"Name":"x"}}"#, 403),
        (register, r#"{"Node":"n1","Address":"10.0.0.1","Check":{"Name":"x","ServiceID":"db-1"}}"#, 403),
        // Taking the id of a check of another's instance, or of the node.
        (register, r#"{"Node":"n1","Address":"10.0.0.1","Check":{"CheckID":"db-up","Name":"x","ServiceID":"web"}}"#, 403),
        (register, r#"{"Node":"n1","Address":"10.0.0.1","Check":{"CheckID":"mem","Name":"x","ServiceID":"web"}}"#, 403),
        (
            register,
            r#"{"Node":"n1","Address":"10.0.0.1","Service":{"Service":"web"},"Check":{"CheckID":"db-up","Name":"x","ServiceID":"web"}}"#,
            403,
        ),
        (deregister, r#"{"Node":"n1","ServiceID":"db-1"}"#, 403),
        (deregister, r#"{"Node":"n1"}"#, 403),
        (deregister, r#"{"Node":"n1","CheckID":"c"}"#, 200),
        (deregister, r#"{"Node":"n1","ServiceID":"web"}"#, 200),
    ] {
        assert_eq!(status(&served, "web-s3cret", "PUT", path, body).await, want, "{path} {body}");
    }
}

#[tokio::test]
async fn tags_of_an_agents_instance_are_for_who_may_write_its_service() {
    let served = serve_fleet(Fleet::new(&[]).written(2, "n", |local| {
        for (id, service) in [("w", "web"), ("d", "db")] {
            let mut instance = Instance::new(id.parse().unwrap(), service.parse().unwrap());
            instance.enable_tag_override = true;
            local.set_instance(&instance).unwrap();
        }
    }));
    let put = async |token, path: &str, body: &str| status(&served, token, "PUT", path, body).await;
    let (register, deregister) = ("/v1/catalog/register", "/v1/catalog/deregister");
    let web = r#"{"Node":"n","Address":"1.1.1.1","Service":{"ID":"w","Service":"web","Tags":["x"]}}"#;
    let db = r#"{"Node":"n","Address":"1.1.1.1","Service":{"ID":"d","Service":"db","Tags":["x"]}}"#;
    assert_eq!(put("web-s3cret", register, db).await, 403);
    assert_eq!(put("web-s3cret", register, web).await, 200);
    assert_eq!(put("all-s3cret", register, db).await, 200);
    assert_eq!(put("web-s3cret", deregister, r#"{"Node":"n","ServiceID":"d"}"#).await, 403);
    assert_eq!(put("web-s3cret", deregister, r#"{"Node":"n"}"#).await, 403);
    assert_eq!(put("web-s3cret", deregister, r#"{"Node":"n","ServiceID":"w"}"#).await, 200);
    assert_eq!(put("all-s3cret", deregister, r#"{"Node":"n"}"#).await, 200);
}

#[tokio::test]
async fn a_sidecar_of_another_service_goes_only_with_who_may_write_that() {
    let served = serve();
    let body = r#"{"ID":"web-1","Name":"web","Connect":{"SidecarService":{"Name":"db"}}}"#;
    assert_eq!(status(&served, "all-s3cret", "PUT", "/v1/agent/service/register", body).await, 200);
    for (method, path) in [("DELETE", "/v1/services/web/web-1"), ("PUT", "/v1/agent/service/deregister/web-1")] {
        assert_eq!(status(&served, "web-s3cret", method, path, "").await, 403, "{path}");
    }
    assert_eq!(served.registry.view().instances.len(), 2);
    assert_eq!(status(&served, "all-s3cret", "DELETE", "/v1/services/web/web-1", "").await, 200);
    assert!(served.registry.view().instances.is_empty());
}

/// What a route has looked at is of another service when the registry gets to it.
#[tokio::test]
async fn who_came_in_between_is_not_overwritten() {
    for (method, path, body) in [
        ("PUT", "/v1/agent/service/register", r#"{"ID":"x","Name":"web"}"#),
        ("PUT", "/v1/agent/service/deregister/x", ""),
        ("PUT", "/v1/services/web/x", ""),
        ("DELETE", "/v1/services/web/x", ""),
        ("POST", "/v1/hold", r#"{"id":"x","name":"web"}"#),
        ("PUT", "/v1/agent/check/register", r#"{"ID":"c","Name":"c","TTL":"2s","ServiceID":"x"}"#),
        ("PUT", "/v1/agent/check/deregister/c", ""),
    ] {
        let served = serve();
        let own = r#"{"ID":"x","Name":"web","Check":{"CheckID":"c","TTL":"1s"}}"#;
        assert_eq!(status(&served, "web-s3cret", "PUT", "/v1/agent/service/register", own).await, 200);
        served.registry.meanwhile(Instance::new("x".parse().unwrap(), "db".parse().unwrap()));
        assert_eq!(status(&served, "web-s3cret", method, path, body).await, 409, "{method} {path}");
        assert_eq!(served.registry.view().instances["x"].instance.service.as_str(), "db");
        assert!(served.registry.view().checks.contains_key("c"));
    }
}
