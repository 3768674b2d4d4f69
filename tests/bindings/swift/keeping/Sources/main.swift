// What an archive keeps and takes in, from Swift: retention, takedowns, a validator; its changes;
// and the layer that is written by hand: closing in order, sequences.

import Foundation
import Wakustore

let topic = "/waku/2/rs/16/3"
let hour: Int64 = 3_600_000_000_000

struct Unexpected: Error {
    let what: String
}

func check(_ holds: Bool, _ otherwise: @autoclosure () -> String, line: UInt = #line) throws {
    if !holds { throw Unexpected(what: "line \(line): \(otherwise())") }
}

func now() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

func batch(_ payloads: String...) -> [TopicMessage] {
    let last = now()
    return payloads.enumerated().map { i, payload in
        let message = Message(
            payload: Data(payload.utf8), contentTopic: "/swift-test/1/chat/proto",
            timestamp: last - Int64(payloads.count - 1 - i))
        return TopicMessage(pubsubTopic: topic, message: message)
    }
}

func kinds(_ results: [PutResult]) -> [ErrorKind?] {
    results.map { $0.refusal?.kind }
}

func fails(_ kind: ErrorKind, line: UInt = #line, _ body: () async throws -> Void) async throws {
    do {
        try await body()
    } catch let error as WakuError {
        return try check(error.kind == kind && !error.reason.isEmpty, "\(error)", line: line)
    }
    throw Unexpected(what: "line \(line): nothing was thrown")
}

func retention() async throws {
    let options = ArchiveOptions(maxAge: 3600, maxMessages: 2)
    try await withArchive(path: ":memory:", options: options) { archive in
        let changes = try archive.changes()
        let messages = batch("1", "2", "3", "4", "5")
        let results = try await archive.putMany(messages: messages)
        guard case .stored(let stored)? = try await changes.next() else {
            throw Unexpected(what: "nothing was stored")
        }
        try check(stored.map(\.hash) == results.map(\.hash), "\(stored)")
        try check(stored.allSatisfy { $0.origin == .live && $0.pubsubTopic == topic }, "\(stored)")
        var removed: [Data] = []
        for try await change in changes {
            guard case .removed(let messages) = change else { throw Unexpected(what: "\(change)") }
            removed += messages.map(\.hash)
            if removed.count == 3 { break }
        }
        try check(removed == results.prefix(3).map(\.hash), "\(removed)")
        try check(try archive.floor() == messages[2].message.timestamp! + 1, "the floor")
        let refused = try await archive.putMany(messages: [messages[0]], origin: .sync)
        try check(kinds(refused) == [.timestampTooOld], "\(refused)")
        try await archive.shutdown()
        let end = try await changes.next()
        try check(end == nil, "the feed has ended")
    }
    try await fails(.invalidArgument) {
        _ = try await Archive.open(path: ":memory:", options: ArchiveOptions(maxBytes: 0))
    }
}

func takedowns() async throws {
    try await withArchive(path: ":memory:") { archive in
        try check(try archive.floor() == nil, "nothing bounds it")
        let messages = batch("a", "b", "c")
        let hashes = try await archive.putMany(messages: messages).map(\.hash)
        let changes = try archive.changes(capacity: 1)
        let held = try await archive.takeDown(hashes: [hashes[1]])
        try check(held == 1, "it was held")
        let missing = try await archive.missing(hashes: [hashes[1]])
        try check(missing.isEmpty, "nobody misses it")
        try await fails(.takenDown) {
            _ = try await archive.put(pubsubTopic: topic, message: messages[1].message)
        }
        guard case .removed(let removed)? = try await changes.next() else {
            throw Unexpected(what: "nothing was removed")
        }
        try check(removed.map(\.hash) == [hashes[1]], "\(removed)")
        var left: [Data] = []
        for try await entry in try archive.history(query: Query(limit: 1)).entries {
            left.append(entry.hash)
        }
        try check(left == [hashes[0], hashes[2]], "\(left)")
        for i in 0..<3 { _ = try await archive.putMany(messages: batch("more \(i)")) }
        _ = try await changes.next()
        let lagged = try await changes.next()
        try check(lagged == .lagged(missed: 2), "\(String(describing: lagged))")
        let more = try await archive.changesFrom(position: try changes.position())
        var missed = 0
        for try await change in more {
            guard case .stored(let messages) = change else { throw Unexpected(what: "\(change)") }
            missed += messages.count
            if missed == 2 { break }
        }
        let stands = try await archive.position()
        try check(try more.position() == stands, "all was told")
        let all = try await archive.changesFrom()
        guard case .stored? = try await all.next() else { throw Unexpected(what: "from the start") }
    }
}

func aValidator() async throws {
    let judge = validator { messages, origin in
        try messages.map { stored in
            let payload = String(decoding: stored.message.payload, as: UTF8.self)
            switch payload {
            case "throw": throw Unexpected(what: "as ordered")
            case "slow":
                Thread.sleep(forTimeInterval: 0.2)
                return .valid
            case _ where payload.hasPrefix("bad"): return .invalid(reason: "no \(payload)")
            default: return origin == .import ? .unknown(reason: "not now") : .valid
            }
        }
    }
    try await withArchive(path: ":memory:", validator: judge) { archive in
        var results = try await archive.putMany(messages: batch("good", "bad one"))
        try check(kinds(results) == [nil, .validatorRefused], "\(results)")
        try check(results[1].refusal?.reason == "no bad one", "\(results)")
        results = try await archive.putMany(messages: batch("imported"), origin: .import)
        try check(kinds(results) == [.busy], "\(results)")
        results = try await archive.putMany(messages: batch("fine", "throw"))
        try check(kinds(results) == [.busy, .busy], "\(results)")
        try check(results[0].refusal!.reason.contains("as ordered"), "\(results)")
        try await withThrowingTaskGroup(of: [PutResult].self) { group in
            for i in 0..<50 {
                group.addTask { try await archive.putMany(messages: batch("m\(i)", "bad")) }
            }
            for try await results in group {
                try check(kinds(results) == [nil, .validatorRefused], "\(results)")
            }
        }
        let held = try await archive.stats().messages
        try check(held == 51, "\(held)")
    }
    let impatient = ArchiveOptions(validatorTimeout: 0.02)
    try await withArchive(path: ":memory:", options: impatient, validator: judge) { archive in
        let results = try await archive.putMany(messages: batch("slow"))
        try check(kinds(results) == [.busy], "it took too long: \(results)")
    }
}

func nodes() async throws {
    let listening = NodeOptions(listen: ["/ip4/127.0.0.1/tcp/0"], syncOnConnect: false)
    try await withArchive(path: ":memory:") { theirs in
        _ = try await theirs.putMany(messages: batch("x", "y", "z"))
        try await withArchive(path: ":memory:") { own in
            try await withNode(archive: theirs, options: listening) { server in
                let quiet = NodeOptions(syncOnConnect: false)
                try await withNode(archive: own, options: quiet) { node in
                    let peer = try await node.dial(address: try server.addresses()[0])
                    var entries = 0
                    let walk = try node.history(peer: peer, query: Query(limit: 2))
                    for try await _ in walk.entries { entries += 1 }
                    try check(entries == 3, "\(entries)")
                    let end = now()
                    let options = SyncOptions(start: end - hour, end: end, direction: .pull)
                    let report = try await node.sync(peer: peer, options: options)
                    try check(report.received == 3, "\(report)")
                }
            }
            let held = try await own.stats().messages
            try check(held == 3, "\(held)")
        }
    }
}

// The body's own failure is what comes out, and the archive is closed all the same; also where the
// task was cancelled.
func failures() async throws {
    var kept: Archive?
    do {
        try await withArchive(path: ":memory:") { archive in
            kept = archive
            throw Unexpected(what: "of the body")
        }
    } catch let error as Unexpected {
        try check(error.what == "of the body", "\(error)")
    }
    try await fails(.archiveClosed) { _ = try await kept!.stats() }

    let (opened, tell) = AsyncStream<Void>.makeStream()
    let cancelled = Task {
        var kept: Archive?
        do {
            try await withArchive(path: ":memory:") { archive in
                kept = archive
                tell.finish()
                _ = try await archive.changes().next()
            }
        } catch is CancellationError {
            return kept!
        }
        throw Unexpected(what: "it was not cancelled")
    }
    for await _ in opened {}
    cancelled.cancel()
    let archive = try await cancelled.value
    try await fails(.archiveClosed) { _ = try await archive.stats() }
}

do {
    try await retention()
    try await takedowns()
    try await aValidator()
    try await nodes()
    try await failures()
    try shutdown()
    print("what an archive keeps and takes in: as expected")
} catch {
    FileHandle.standardError.write(Data("FAILED: \(error)\n".utf8))
    exit(1)
}
