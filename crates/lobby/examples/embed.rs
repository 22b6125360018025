//! A program that finds its peers by itself: `cargo run -p lobby --example embed -- NAME IP:PORT [SEED…]`.
//!
//! Start one with `a 127.0.0.1:7001`, others with `b 127.0.0.1:0 127.0.0.1:7001` and so on; Ctrl-C leaves. For those who
//! know the same in Go with Serf as a module:
//!
//! | Go, `hashicorp/serf`                          | here                                                        |
//! |-----------------------------------------------|-------------------------------------------------------------|
//! | `Config.NodeName`, `serfConfig.NodeName`      | `Builder::name`                                             |
//! | `Config.BindAddr`, `MemberlistConfig.BindAddr`| `Builder::bind`; others' reach needs `key` or `insecure`    |
//! | `Config.Tags`, `serfConfig.Tags`              | `Builder::tags`: labels `KEY:VALUE`                         |
//! | `Config.StartJoinAddrs`                       | `Builder::seeds`, or `Lobby::join` after the start          |
//! | `NewNode`, `serf.Create`                      | `Builder::start`                                            |
//! | `Node.Start`, `server.Join(addrs, true)`      | `Lobby::join`: how many; retried for ever; no old events    |
//! | `MembershipHandler.MemberJoin`, `MemberLeave` | `MembershipHandler::member_join`, `member_leave`            |
//! | `eventHandler`, `serfConfig.EventCh`          | `Builder::membership`; `Lobby::member_events` tells more    |
//! | `serf.EventMemberLeave`, `EventMemberFailed`  | `MemberEvent::Leave`, `MemberEvent::Failed`                 |
//! | `server.LocalMember()`                        | the one of `Lobby::members` whose `own` is true             |
//! | `Node.Members`, `server.Members()`            | `Lobby::members`                                            |
//! | `Node.Leave`, `server.Leave()`                | `Lobby::leave`                                              |

use std::{collections::BTreeMap, env, error::Error};

use lobby::{Lobby, MembershipHandler};

struct Printer;

impl MembershipHandler for Printer {
    fn member_join(&self, name: &str, tags: &BTreeMap<String, String>) {
        println!("join {name} {tags:?}");
    }

    fn member_leave(&self, name: &str, tags: &BTreeMap<String, String>) {
        println!("leave {name} {tags:?}");
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let (Some(name), Some(addr)) = (args.next(), args.next()) else { return Err("usage: embed NAME IP:PORT [SEED…]".into()) };
    let builder = Lobby::builder().name(name.parse()?).tags([("role", "demo")]).bind(addr).membership(Printer);
    let mut node = builder.start().await?;
    match node.join(args).await {
        Ok(reached) => println!("reached {reached}"),
        Err(err) => println!("{err}; trying on"),
    }
    for member in node.members() {
        println!("member {} {} {:?} {:?}", member.name, member.state.as_str(), member.address, member.tags);
    }
    tokio::select! {
        ended = node.ended() => ended?,
        pressed = tokio::signal::ctrl_c() => pressed?,
    }
    node.leave().await;
    Ok(())
}
