// What ends by a call that waits, ended in order, also where the task was cancelled or the work
// failed; and validators that are closures.

/// Opens the archive in this file, or creates it, runs `body` with it, then commits what was
/// accepted and closes the file.
public func withArchive<T>(
    path: String,
    options: ArchiveOptions? = nil,
    validator: Validator? = nil,
    _ body: (Archive) async throws -> T
) async throws -> T {
    let archive = try await Archive.open(path: path, options: options, validator: validator)
    return try await ending({ try await archive.shutdown() }) { try await body(archive) }
}

/// Starts a node over an archive, runs `body` with it, then ends all sessions and connections. The
/// archive stays open.
public func withNode<T>(
    archive: Archive,
    options: NodeOptions = NodeOptions(),
    _ body: (Node) async throws -> T
) async throws -> T {
    let node = try await Node.start(archive: archive, options: options)
    return try await ending({ try await node.stop() }) { try await body(node) }
}

// A task of its own is not cancelled with the one that waits for it.
private func ending<T>(
    _ end: @escaping @Sendable () async throws -> Void,
    _ body: () async throws -> T
) async throws -> T {
    let result: T
    do {
        result = try await body()
    } catch {
        _ = await Task { try await end() }.result
        throw error
    }
    try await Task { try await end() }.value
    return result
}

/// A validator that is a closure: one answer for each message of the batch, in order. It is called
/// on a thread that the library has for it, one batch at a time, and must not wait for the library.
/// What it throws counts as not knowing.
public func validator(
    _ judge: @escaping @Sendable (_ messages: [StoredMessage], _ origin: Origin) throws -> [Validity]
) -> Validator {
    ClosureValidator(judge)
}

private final class ClosureValidator: Validator {
    private let judge: @Sendable ([StoredMessage], Origin) throws -> [Validity]

    init(_ judge: @escaping @Sendable ([StoredMessage], Origin) throws -> [Validity]) {
        self.judge = judge
    }

    func validate(messages: [StoredMessage], origin: Origin) throws -> [Validity] {
        try judge(messages, origin)
    }
}

extension WakuError {
    /// What went wrong, as a stable number.
    public var kind: ErrorKind {
        switch self { case .Failed(let kind, _): kind }
    }

    /// What is wrong and with what, for people.
    public var reason: String {
        switch self { case .Failed(_, let reason): reason }
    }
}
