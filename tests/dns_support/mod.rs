//! A DNS server on loopback for the tests of names and of discovery: real sockets, UDP and TCP, and
//! answers as a test has put them, hostile ones too.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Metadata, ResponseCode};
use hickory_server::proto::rr::rdata::{A, AAAA, CNAME, TXT};
use hickory_server::proto::rr::{Name, RData, Record};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;

/// What a name is answered with.
#[derive(Clone)]
pub enum Answer {
    Records(Vec<RData>),
    /// Nothing in the answer itself; these beside it.
    Beside(Vec<RData>),
    Refused,
    /// Nothing at all.
    Silence,
}

/// The names that a server knows; there is no other. Clones are the same.
#[derive(Clone, Default)]
pub struct Zone {
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

impl Zone {
    pub fn put(&self, name: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(key(name), answer);
    }

    pub fn remove(&self, name: &str) {
        self.answers.lock().unwrap().remove(&key(name));
    }

    /// Addresses of a name.
    pub fn put_ips(&self, name: &str, ips: &[&str]) {
        let ips = ips.iter().map(|ip| match ip.parse().unwrap() {
            IpAddr::V4(ip) => RData::A(A(ip)),
            IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
        });
        self.put(name, Answer::Records(ips.collect()));
    }

    /// Text records of a name, in pieces as the protocol wants them.
    pub fn put_texts<T: AsRef<str>>(&self, name: &str, texts: &[T]) {
        let texts = texts.iter().map(|text| text_data(text.as_ref().as_bytes()));
        self.put(name, Answer::Records(texts.collect()));
    }

    pub fn put_alias(&self, name: &str, to: &str) {
        let to = Name::from_ascii(format!("{}.", key(to))).unwrap();
        self.put(name, Answer::Records(vec![RData::CNAME(CNAME(to))]));
    }

    /// The names that were asked for, in lower case, in their order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub fn forget_asked(&self) {
        self.asked.lock().unwrap().clear();
    }
}

pub fn text_data(bytes: &[u8]) -> RData {
    RData::TXT(TXT::from_bytes(bytes.chunks(255).collect()))
}

/// A running server; it ends when this is dropped.
pub struct Dns {
    /// As a node is told of it.
    pub at: String,
    pub zone: Zone,
    _server: Server<Zone>,
}

impl Dns {
    pub async fn start() -> Dns {
        let zone = Zone::default();
        // One port for both, which another process may hold for TCP.
        let (udp, tcp) = loop {
            let udp = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = tokio::net::TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let at = udp.local_addr().unwrap().to_string();
        let mut server = Server::new(zone.clone());
        server.register_socket(udp);
        server.register_listener(tcp, Duration::from_secs(30), 64);
        Dns { at, zone, _server: server }
    }
}

impl Zone {
    async fn answer<R: ResponseHandler>(&self, request: &Request, mut to: R) -> ResponseInfo {
        let info = request.request_info().unwrap();
        let (name, kind) = (key(&info.query.name().to_string()), info.query.query_type());
        self.asked.lock().unwrap().push(name.clone());
        let mut about = Metadata::response_from_request(&request.metadata);
        let answer = self.answers.lock().unwrap().get(&name).cloned();
        let owner: Name = info.query.name().into();
        let records = |data: Vec<RData>, all: bool| -> Vec<Record> {
            let fits = |d: &RData| all || d.record_type() == kind || matches!(d, RData::CNAME(_));
            let data = data.into_iter().filter(fits);
            data.map(|data| Record::from_rdata(owner.clone(), 0, data)).collect()
        };
        let (mut answers, mut beside) = (Vec::new(), Vec::new());
        match answer {
            Some(Answer::Silence) => std::future::pending().await,
            Some(Answer::Refused) => about.response_code = ResponseCode::ServFail,
            Some(Answer::Records(data)) => answers = records(data, false),
            Some(Answer::Beside(data)) => beside = records(data, true),
            None => about.response_code = ResponseCode::NXDomain,
        }
        let builder = MessageResponseBuilder::from_message_request(request);
        let none: [Record; 0] = [];
        let response =
            builder.build(about, answers.iter(), none.iter(), none.iter(), beside.iter());
        to.send_response(response).await.unwrap()
    }
}

// What `#[async_trait]` makes of `async fn handle_request`.
impl RequestHandler for Zone {
    fn handle_request<'a, 'b, 'c, R, T>(
        &'a self,
        request: &'b Request,
        to: R,
    ) -> Pin<Box<dyn Future<Output = ResponseInfo> + Send + 'c>>
    where
        R: ResponseHandler + 'c,
        T: Time + 'c,
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(self.answer(request, to))
    }
}
