// What has to be pulled, as sequences to loop over: the pages of a history, the events of a node.
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
