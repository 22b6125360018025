//! Ports of proxies that name none: which they get, that they keep it, and what is said when there is none.

use lobby_core::port::registry::{PROXY, PROXY_PORTS};

use super::*;

fn proxy(name: &str) -> Registration {
    let instance = Instance { kind: PROXY.into(), port: 0, ..instance(name) };
    Registration { instance, ..registration(name, Vec::new()) }
}

fn port(lobby: &Lobby, name: &str) -> u16 {
    lobby.registry().view().instances[&id(name)].instance.port
}

#[tokio::test]
async fn a_proxy_gets_the_lowest_free_port_and_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let lobby = stored(&folder).await;
    let fixed = Registration { instance: Instance { port: 21_001, ..instance("fixed") }, ..registration("fixed", Vec::new()) };
    register(&lobby, fixed).await.unwrap();
    // At one time too, none gets that of another.
    let (a, b, c) = (register(&lobby, proxy("a")), register(&lobby, proxy("b")), register(&lobby, proxy("c")));
    let (a, b, c) = tokio::join!(a, b, c);
    assert_eq!((a, b, c), (Ok(()), Ok(()), Ok(())));
    assert_eq!([port(&lobby, "a"), port(&lobby, "b"), port(&lobby, "c")], [21_000, 21_002, 21_003]);
    let told = lobby.reader().snapshot().service("web").unwrap().instances.values().any(|view| view.instance.port == 21_002);
    assert!(told, "others are told");
    let lobby = kill_and_restart(lobby, &folder).await;
    deregister(&lobby, "a").await.unwrap();
    register(&lobby, proxy("c")).await.unwrap();
    register(&lobby, proxy("d")).await.unwrap();
    assert_eq!([port(&lobby, "c"), port(&lobby, "d")], [21_003, 21_000]);
    let named = Registration { instance: Instance { port: 9, ..proxy("c").instance }, ..proxy("c") };
    register(&lobby, named).await.unwrap();
    assert_eq!(port(&lobby, "c"), 9);
    let plain = Registration { instance: Instance { port: 0, ..instance("plain") }, ..registration("plain", Vec::new()) };
    register(&lobby, plain).await.unwrap();
    assert_eq!(port(&lobby, "plain"), 0, "only proxies get one");
}

#[tokio::test]
async fn when_all_ports_are_taken_it_is_said() {
    let lobby = agent().await;
    for n in PROXY_PORTS {
        register(&lobby, proxy(&format!("p{n}"))).await.unwrap();
    }
    let err = register(&lobby, proxy("more")).await.unwrap_err();
    assert_eq!(
        err.to_string(),
        "Invalid SidecarService: no port provided for sidecar_service and none left in the configured range [21000, 21255]"
    );
    assert!(!lobby.registry().view().instances.contains_key(&id("more")));
    register(&lobby, proxy("p21255")).await.expect("it has one");
    deregister(&lobby, "p21007").await.unwrap();
    register(&lobby, proxy("more")).await.unwrap();
    assert_eq!(port(&lobby, "more"), 21_007);
}
