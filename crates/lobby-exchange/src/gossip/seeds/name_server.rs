//! A name server on loopback that the tests are, those of this crate's folder `tests` too.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use hickory_resolver::proto::{
    op::{Message, OpCode, ResponseCode},
    rr::{Name, RData, Record},
};
use tokio::net::UdpSocket;

/// It answers from a list that may change at any time; other names do not exist.
pub(crate) struct NameServer {
    records: Arc<Mutex<Vec<(Name, RData)>>>,
    /// Where it is asked.
    pub(crate) addr: SocketAddr,
}

impl NameServer {
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        let records = Arc::new(Mutex::new(Vec::new()));
        let shown = records.clone();
        tokio::spawn(async move {
            let mut question = [0; 1500];
            loop {
                let (n_bytes, from) = socket.recv_from(&mut question).await.unwrap();
                let answer = answer(&Message::from_vec(&question[..n_bytes]).unwrap(), &shown.lock().unwrap());
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        Self { records, addr }
    }

    pub(crate) fn tells(&self, records: &[(&str, RData)]) {
        *self.records.lock().unwrap() = records.iter().map(|(name, data)| (name.parse().unwrap(), data.clone())).collect();
    }
}

fn answer(question: &Message, records: &[(Name, RData)]) -> Vec<u8> {
    let query = question.queries[0].clone();
    let mut answer = Message::response(question.metadata.id, OpCode::Query);
    let named = || records.iter().filter(|(name, _)| name == query.name());
    if named().next().is_none() {
        answer.metadata.response_code = ResponseCode::NXDomain;
    }
    for (name, data) in named().filter(|(_, data)| data.record_type() == query.query_type()) {
        answer.add_answer(Record::from_rdata(name.clone(), 60, data.clone()));
    }
    answer.add_query(query);
    answer.to_vec().unwrap()
}
