//! Peers are dialled by name: `/dns4`, `/dns6`, `/dns` and `/dnsaddr`, over TCP, QUIC and WebSocket,
//! by way of the name servers that the node was told of; and what is said where names lie.

#![cfg(all(feature = "node", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod dns_support;
mod node_support;

use std::time::Duration;

use dns_support::{Answer, Dns, text_data};
use hickory_server::proto::rr::RData;
use hickory_server::proto::rr::rdata::A;
use node_support::*;
use wakustore::ErrorKind;
use wakustore::node::{Node, NodeConfig};
use wakustore::types::Query;

const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

async fn listening(on: &[&str]) -> Node {
    let listen = on.iter().map(ToString::to_string).collect();
    Node::start(NodeConfig { listen, ..config() }, in_memory()).await.unwrap()
}

async fn dialling(dns: &Dns) -> Node {
    let config = NodeConfig { listen: vec![], name_servers: vec![dns.at.clone()], ..config() };
    Node::start(config, in_memory()).await.unwrap()
}

/// The address of a node with a name in place of its IP, without who it is.
fn named(at: &str, kind: &str, name: &str) -> String {
    let (at, _) = at.split_once("/p2p/").unwrap();
    let rest: Vec<&str> = at.split('/').skip(3).collect();
    format!("/{kind}/{name}/{}", rest.join("/"))
}

async fn fails(node: &Node, address: &str) -> (ErrorKind, String) {
    let error = soon(node.dial(address)).await.unwrap_err();
    (error.kind(), error.message().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_are_found_by_name() {
    let dns = Dns::start().await;
    let server = listening(&[TCP, WS, QUIC, "/ip6/::1/tcp/0"]).await;
    dns.zone.put_ips("four.test", &["127.0.0.1"]);
    dns.zone.put_ips("six.test", &["::1"]);
    dns.zone.put_alias("alias.test", "four.test");
    let at = server.addresses();
    let id = server.peer_id();
    for (address, kind, name) in [
        (&at[0], "dns4", "four.test"),
        (&at[0], "dns", "four.test"),
        (&at[0], "dns4", "alias.test"),
        (&at[1], "dns4", "four.test"),
        (&at[2], "dns4", "four.test"),
        (&at[2], "dns", "alias.test"),
        (&at[3], "dns6", "six.test"),
        (&at[3], "dns", "six.test"),
    ] {
        let client = dialling(&dns).await;
        let address = named(address, kind, name);
        assert_eq!(soon(client.dial(&address)).await.unwrap(), id, "{address}");
        // By name again, and by who it is once the connection is gone.
        client.disconnect(&id).await.unwrap();
        assert_eq!(soon(client.dial(&format!("{address}/p2p/{id}"))).await.unwrap(), id);
        client.disconnect(&id).await.unwrap();
        soon(client.store_query(&id, Query::default())).await.unwrap();
        client.stop().await;
    }
    assert!(dns.zone.asked().contains(&"six.test".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_name_whole_addresses() {
    let dns = Dns::start().await;
    let (server, other) = (listening(&[TCP, WS, QUIC]).await, listening(&[TCP]).await);
    dns.zone.put_ips("four.test", &["127.0.0.1"]);
    let text = |address: &str| format!("dnsaddr={address}");
    for at in &server.addresses() {
        dns.zone.put_texts("_dnsaddr.fleet.test", &[text(at)]);
        let client = dialling(&dns).await;
        assert_eq!(
            soon(client.dial("/dnsaddr/fleet.test")).await.unwrap(),
            server.peer_id(),
            "{at}"
        );
        client.stop().await;
    }

    // Of several the one that is meant; records may name names and other records.
    let (at, others) = (server.addresses(), address(&other));
    let with = |at: &str, node: &Node| format!("{at}/p2p/{}", node.peer_id());
    dns.zone.put_texts(
        "_dnsaddr.fleet.test",
        &[
            "nothing".to_owned(),
            "dnsaddr=garbage".to_owned(),
            text(&others),
            text(&with("/dnsaddr/inner.test", &server)),
        ],
    );
    dns.zone.put_texts(
        "_dnsaddr.inner.test",
        &[text(&with(&named(&at[2], "dns4", "four.test"), &server))],
    );
    for node in [&server, &other] {
        let client = dialling(&dns).await;
        let address = with("/dnsaddr/fleet.test", node);
        assert_eq!(soon(client.dial(&address)).await.unwrap(), node.peer_id());
        client.stop().await;
    }

    // A record that names another peer than is there.
    let client = dialling(&dns).await;
    let (bare, _) = others.split_once("/p2p/").unwrap();
    dns.zone.put_texts("_dnsaddr.wrong.test", &[text(&with(bare, &server))]);
    let (kind, said) = fails(&client, "/dnsaddr/wrong.test").await;
    assert_eq!(kind, ErrorKind::Dial);
    assert!(said.contains("another peer"), "{said}");
    assert!(client.peers().is_empty());

    // Names that lead in circles end.
    dns.zone.put_texts("_dnsaddr.round.test", &["dnsaddr=/dnsaddr/round.test"]);
    dns.zone.forget_asked();
    assert_eq!(fails(&client, "/dnsaddr/round.test").await.0, ErrorKind::Dial);
    assert!(dns.zone.asked().len() <= 32, "{}", dns.zone.asked().len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_address_does_not_hold_up_a_live_one() {
    let dns = Dns::start().await;
    let server = listening(&["/ip4/127.0.0.1/tcp/0"]).await;
    // It takes the connection and says nothing.
    let dead = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
    let dead = dead.local_addr().unwrap();
    dns.zone.put_texts(
        "_dnsaddr.two.test",
        &[
            format!("dnsaddr=/ip4/{}/tcp/{}", dead.ip(), dead.port()),
            format!("dnsaddr={}", address(&server)),
        ],
    );
    let client = dialling(&dns).await;
    assert_eq!(soon(client.dial("/dnsaddr/two.test")).await.unwrap(), server.peer_id());
    // The same for a name of two addresses.
    let port = address(&server).split('/').nth(4).unwrap().to_owned();
    dns.zone.put_ips("two.test", &["127.0.0.9", "127.0.0.1"]);
    client.disconnect(&server.peer_id()).await.unwrap();
    let at = format!("/dns4/two.test/tcp/{port}");
    assert_eq!(soon(client.dial(&at)).await.unwrap(), server.peer_id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_name_server_says_is_an_error_at_most() {
    let dns = Dns::start().await;
    let short = NodeConfig {
        listen: vec![],
        name_servers: vec![dns.at.clone()],
        request_timeout: Duration::from_secs(2),
        ..config()
    };
    let short = Node::start(short, in_memory()).await.unwrap();
    let client = dialling(&dns).await;
    let (kind, said) = fails(&client, "/dns4/nobody.test/tcp/1").await;
    assert_eq!(kind, ErrorKind::Dial);
    assert!(said.contains("no such name") && said.contains("nobody.test"), "{said}");
    // An address, but not where the answer belongs.
    let ip = RData::A(A([127, 0, 0, 1].into()));
    dns.zone.put("beside.test", Answer::Beside(vec![ip]));
    dns.zone.put_alias("nowhere.test", "nobody.test");
    dns.zone.put_alias("circle.test", "circle.test");
    dns.zone.put_texts("texts.test", &["hello"]);
    dns.zone.put("refused.test", Answer::Refused);
    for name in ["beside.test", "nowhere.test", "circle.test", "texts.test", "refused.test"] {
        for kind in ["dns", "dns4", "dns6"] {
            for rest in ["tcp/1", "udp/1/quic-v1", "tcp/1/ws", "tcp/1/tls/ws"] {
                let (kind, said) = fails(&client, &format!("/{kind}/{name}/{rest}")).await;
                assert_eq!(kind, ErrorKind::Dial, "{name}: {said}");
            }
        }
    }
    let long = vec![b'x'; 60_000];
    dns.zone.put("_dnsaddr.long.test", Answer::Records(vec![text_data(&long)]));
    dns.zone.put("_dnsaddr.bytes.test", Answer::Records(vec![text_data(&[0xff, 0xfe])]));
    dns.zone.put_texts("_dnsaddr.none.test", &[""]);
    for name in ["long.test", "bytes.test", "none.test", "beside.test"] {
        assert_eq!(fails(&client, &format!("/dnsaddr/{name}")).await.0, ErrorKind::Dial, "{name}");
    }
    dns.zone.put("silent.test", Answer::Silence);
    let (kind, said) = fails(&short, "/dns4/silent.test/tcp/1").await;
    assert_eq!(kind, ErrorKind::TimedOut, "{said}");
    // It goes on as ever.
    let server = listening(&[TCP]).await;
    assert!(soon(client.dial(&address(&server))).await.is_ok());

    let nonsense = NodeConfig { name_servers: vec!["nonsense".into()], ..config() };
    let error = Node::start(nonsense, in_memory()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}
