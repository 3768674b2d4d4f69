// What has to be pulled, as sequences to loop over: the pages or the entries of a history, the
// changes of an archive, the events of a node.
//
// Each pull is cancelled with the task that waits for it (see the generated call), and what was
// brought by then is not lost: the next pull of the same object hands it out. A sequence here is
// its own iterator, so a second loop goes on where the first stopped.

/// What is left of the walk, page by page: `for try await page in try node.history(…)`.
/// `cursor()` tells where it stands.
extension History: AsyncSequence, AsyncIteratorProtocol {
    public typealias Element = Page

    public func makeAsyncIterator() -> History { self }
}

/// What happens, until the node stops: `for try await event in try node.events()`.
extension NodeEvents: AsyncSequence, AsyncIteratorProtocol {
    public typealias Element = NodeEvent

    public func makeAsyncIterator() -> NodeEvents { self }
}

/// What an archive commits, until it is closed: `for try await change in try archive.changes()`.
extension Changes: AsyncSequence, AsyncIteratorProtocol {
    public typealias Element = Change

    public func makeAsyncIterator() -> Changes { self }
}

/// The entries of the pages that are left of a walk, in their order:
/// `for try await entry in try archive.history(query: …).entries`.
public struct Entries: AsyncSequence {
    public typealias Element = Entry

    let history: History

    public func makeAsyncIterator() -> Iterator { Iterator(history: history) }

    public struct Iterator: AsyncIteratorProtocol {
        let history: History
        private var page: [Entry] = []
        private var given = 0

        init(history: History) { self.history = history }

        public mutating func next() async throws -> Entry? {
            while given == page.count {
                guard let next = try await history.next() else { return nil }
                (page, given) = (next.entries, 0)
            }
            given += 1
            return page[given - 1]
        }
    }
}

extension History {
    /// What is left of the walk, entry by entry.
    public var entries: Entries { Entries(history: self) }
}
