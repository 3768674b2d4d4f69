//! How long reconciliation takes on a slow way: two ends on sockets, between them a relay in user
//! space that lets a megabit a second through each way and delays it by 50 ms, as a phone's network
//! does. Ours and negentropy over the same relay, their frames behind the same length prefix; from
//! the first frame to the moment at which both sides (of negentropy: its client) know what to send.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{scope, sleep, spawn};
use std::time::{Duration, Instant};

use negentropy::Negentropy;

use crate::own::{End, Stock};
use crate::report::versus;
use crate::rivals::{differences, vector_of};
use crate::sets::{Sides, halves};

const DELAY: Duration = Duration::from_millis(50);
const BYTES_A_SECOND: f64 = 125_000.0;
/// About what a packet carries.
const PACKET: usize = 1400;
/// Packets on their way or waiting for it, at most.
const QUEUE: usize = 256;

/// One way through the relay. Ends with what it reads from.
fn carry(mut from: TcpStream, mut to: TcpStream) {
    let (packets, queue) = sync_channel::<(Instant, Vec<u8>)>(QUEUE);
    spawn(move || {
        let mut free = Instant::now();
        let mut packet = vec![0; PACKET];
        while let Ok(len @ 1..) = from.read(&mut packet) {
            free = free.max(Instant::now()) + Duration::from_secs_f64(len as f64 / BYTES_A_SECOND);
            if packets.send((free + DELAY, packet[..len].to_vec())).is_err() {
                return;
            }
        }
    });
    spawn(move || deliver(&queue, &mut to));
}

fn deliver(queue: &Receiver<(Instant, Vec<u8>)>, to: &mut TcpStream) {
    while let Ok((due, packet)) = queue.recv() {
        sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&packet).is_err() {
            return;
        }
    }
    // The other side may have gone.
    let _ = to.shutdown(std::net::Shutdown::Write);
}

/// The two ends of a connection through a relay.
fn connection() -> (TcpStream, TcpStream) {
    let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (server, relay) = (listen(), listen());
    let client = TcpStream::connect(relay.local_addr().unwrap()).unwrap();
    let near = relay.accept().unwrap().0;
    let far = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    let server = server.accept().unwrap().0;
    for socket in [&client, &near, &far, &server] {
        socket.set_nodelay(true).unwrap();
    }
    carry(near.try_clone().unwrap(), far.try_clone().unwrap());
    carry(far, near);
    (client, server)
}

fn write(socket: &mut TcpStream, frame: &[u8]) {
    let len = u32::try_from(frame.len()).unwrap().to_be_bytes();
    socket.write_all(&[&len[..], frame].concat()).unwrap();
}

/// `None` where the other end has closed.
fn read(socket: &mut TcpStream) -> Option<Vec<u8>> {
    let mut len = [0; 4];
    socket.read_exact(&mut len).ok()?;
    let mut frame = vec![0; u32::from_be_bytes(len) as usize];
    socket.read_exact(&mut frame).unwrap();
    Some(frame)
}

/// Runs one end of ours until it knows what to send; when that was.
fn run(end: &mut End<'_>, socket: &mut TcpStream) -> Instant {
    while !end.knows() {
        let frame = read(socket).expect("the peer goes on");
        end.hear(&frame).iter().for_each(|answer| write(socket, answer));
    }
    Instant::now()
}

fn own(sides: &Sides) -> f64 {
    let stocks = [Stock::new(&sides.a), Stock::new(&sides.b)];
    let differ = differences(sides);
    let (mut client, mut server) = connection();
    let mut ends = [End::new(&stocks[0], true, false), End::new(&stocks[1], false, false)];
    let [a, b] = &mut ends;
    let start = Instant::now();
    let known = scope(|threads| {
        let there = threads.spawn(|| run(b, &mut server));
        write(&mut client, &a.open());
        let here = run(a, &mut client);
        here.max(there.join().unwrap())
    });
    ends[0].assert_found(differ.0, differ.1);
    ends[1].assert_found(differ.1, differ.0);
    known.duration_since(start).as_secs_f64() * 1e3
}

fn negentropy(sides: &Sides) -> f64 {
    let (a, b) = (vector_of(&sides.a), vector_of(&sides.b));
    let (mut client, mut server) = connection();
    let (mut have, mut need) = (Vec::new(), Vec::new());
    let start = Instant::now();
    let known = scope(|threads| {
        threads.spawn(|| {
            let mut end = Negentropy::borrowed(&b, 0).unwrap();
            while let Some(frame) = read(&mut server) {
                write(&mut server, &end.reconcile(&frame).unwrap());
            }
        });
        let mut end = Negentropy::borrowed(&a, 0).unwrap();
        let mut next = Some(end.initiate().unwrap());
        while let Some(frame) = next {
            write(&mut client, &frame);
            let answer = read(&mut client).expect("the server goes on");
            next = end.reconcile_with_ids(&answer, &mut have, &mut need).unwrap();
        }
        let known = Instant::now();
        client.shutdown(std::net::Shutdown::Both).unwrap();
        known
    });
    assert_eq!((have.len(), need.len()), differences(sides));
    known.duration_since(start).as_secs_f64() * 1e3
}

pub(crate) fn run_all() {
    let sides = halves(100_000, 1000, 7);
    let (ours, theirs) = (own(&sides), negentropy(&sides));
    versus("sync.wall_ms.rtt100.n100000.d1000", ours, "ms", "negentropy", theirs);
    // Where nothing differs it is one round trip.
    let sides = halves(100_000, 0, 7);
    let (ours, theirs) = (own(&sides), negentropy(&sides));
    versus("sync.wall_ms.rtt100.n100000.d0", ours, "ms", "negentropy", theirs);
}
