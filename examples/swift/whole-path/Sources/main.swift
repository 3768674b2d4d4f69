// The whole path from Swift: an archive, a node, a peer's history, a sync.
//
//   whole-path DIR ADDRESS COUNT
//
// Puts some messages into DIR/own.db, reads the history of the peer at ADDRESS, which holds COUNT
// messages of the last hour, and syncs with it. Prints a line a step; anything unexpected ends it.

import Foundation
import Wakustore

let cluster: UInt32 = 16
let shard: UInt32 = 3
let contentTopic = "/swift-example/1/chat/proto"
let own = 40
let hour: Int64 = 3_600_000_000_000

struct Unexpected: Error {
    let what: String
}

func say(_ line: String) {
    FileHandle.standardOutput.write(Data((line + "\n").utf8))
}

func check(_ holds: Bool, _ otherwise: @autoclosure () -> String) throws {
    if !holds { throw Unexpected(what: otherwise()) }
}

func now() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

func ownMessages() -> [TopicMessage] {
    let last = now()
    return (0..<own).map { i in
        let message = Message(
            payload: Data((0..<(i * i * 7)).map { UInt8(truncatingIfNeeded: $0 + i) }),
            contentTopic: contentTopic,
            timestamp: last - Int64(own - i) * 1000,
            meta: i % 2 == 0 ? Data([UInt8(i)]) : nil
        )
        return TopicMessage(pubsubTopic: shardTopic(cluster: cluster, shard: shard), message: message)
    }
}

func putAndQuery(_ archive: Archive) async throws {
    let messages = ownMessages()
    let results = try await archive.putMany(messages: messages)
    try check(results.allSatisfy { $0.outcome == .stored }, "not all was stored: \(results)")

    var entries: [Entry] = []
    var pages = 0
    for try await page in try archive.history(query: Query(contentTopics: [contentTopic], limit: 15)) {
        entries += page.entries
        pages += 1
    }
    try check(entries.map(\.hash) == results.map(\.hash), "what came back is not what was put")
    try check(entries.map(\.message) == messages.map(\.message), "what came back differs")
    say("put \(own) messages and read them back in \(pages) pages, byte for byte")
}

func catchAnError(_ archive: Archive) async throws {
    do {
        _ = try await archive.query(query: Query(cursor: Data(repeating: 0x5a, count: 32)))
        throw Unexpected(what: "an unknown cursor was taken")
    } catch WakuError.Failed(let kind, let reason) {
        try check(kind == .cursorNotFound, "\(kind)")
        say("an unknown cursor: \(kind) (\(kind.rawValue)): \(reason)")
    }
}

// A task that waits for an event is cancelled, which takes no event away from the next who waits.
func connect(_ node: Node, _ address: String) async throws -> String {
    let events = try node.events()
    let waiting = Task { try await events.next() }
    waiting.cancel()
    do {
        let event = try await waiting.value
        throw Unexpected(what: "the wait was not cancelled: \(String(describing: event))")
    } catch is CancellationError {
        say("cancelled a wait for an event")
    }
    let peer = try await node.dial(address: address)
    for try await event in events {
        try check(event == .peerConnected(peerId: peer), "\(event)")
        break
    }
    say("connected to \(peer)")
    return peer
}

func readHistory(_ node: Node, _ peer: String, _ count: Int) async throws {
    var hashes = Set<Data>()
    var (pages, bytes) = (0, 0)
    for try await page in try node.history(peer: peer, query: Query(limit: 50)) {
        pages += 1
        for entry in page.entries {
            hashes.insert(entry.hash)
            bytes += entry.message?.payload.count ?? 0
        }
    }
    try check(hashes.count == count, "\(hashes.count) messages in the peer's history, expected \(count)")
    say("read the peer's history: \(hashes.count) messages, \(bytes) bytes, \(pages) pages")
}

func sync(_ node: Node, _ peer: String, _ count: Int) async throws {
    let end = now()
    let report = try await node.sync(peer: peer, options: SyncOptions(start: end - hour, end: end))
    try check(report.received == count && report.sent == own, "\(report)")
    try check(report.failure == nil && report.outstanding == 0, "\(report)")
    say("synced: received \(report.received), sent \(report.sent), \(report.frames) frames, "
        + "\(Int(report.duration * 1000)) ms")
}

func run(directory: String, address: String, count: Int) async throws {
    say("wakustore \(version()) on Swift")
    let archive = try await Archive.open(path: directory + "/own.db")
    try await putAndQuery(archive)
    try await catchAnError(archive)

    let options = NodeOptions(
        listen: ["/ip4/127.0.0.1/tcp/0"], clusterId: cluster, shards: [shard],
        // It syncs when it is told to, and not by itself.
        syncOnConnect: false)
    let node = try await Node.start(archive: archive, options: options)
    say("a node at \(try node.addresses()[0])")
    let peer = try await connect(node, address)
    try await readHistory(node, peer, count)
    try await sync(node, peer, count)

    try await node.stop()
    let held = try await archive.stats().messages
    try check(held == own + count, "\(held) messages are held, expected \(own + count)")
    try await archive.shutdown()
    try shutdown()
    say("stopped")
}

let arguments = CommandLine.arguments
guard arguments.count == 4, let count = Int(arguments[3]) else {
    FileHandle.standardError.write(Data("usage: whole-path DIR ADDRESS COUNT\n".utf8))
    exit(2)
}
do {
    try await run(directory: arguments[1], address: arguments[2], count: count)
} catch {
    FileHandle.standardError.write(Data("FAILED: \(error)\n".utf8))
    exit(1)
}
