## Operations of the library as futures of asyncdispatch.
##
## The library tells of the ends of operations through one file descriptor, which the event loop
## watches as it watches a socket: completions are picked up, and futures completed, on the loop's
## own thread. (With chronos it is the same: `register` and `addReader` take the place of the two
## calls in `newCompletions`.)

import std/[asyncdispatch, tables]
import ../wakustore

type Completions* = ref object
  ## The library's completions in this thread's event loop.
  queue: Queue
  fd: AsyncFD
  waiting: Table[uint64, proc () {.gcsafe.}]

proc pickUp(c: Completions) {.gcsafe.} =
  while true:
    let ended = c.queue.poll()
    if ended.len == 0: return
    for id in ended:
      var resume: proc () {.gcsafe.}
      if c.waiting.pop(id, resume): resume()

proc newCompletions*(): Completions =
  let c = Completions(queue: newQueue())
  c.fd = AsyncFD(c.queue.fd)
  register(c.fd)
  addRead(c.fd, proc (fd: AsyncFD): bool =
    c.pickUp()
    false)
  c

proc wait*[T](c: Completions, op: Op[T]): Future[T] =
  ## The operation's end. Cancel the operation to have it fail with `Cancelled`.
  let future = newFuture[T]("wakustore")
  c.waiting[op.id] = proc () {.gcsafe.} =
    try:
      when T is void:
        op.take()
        future.complete()
      else:
        future.complete(op.take())
    except CatchableError as e:
      future.fail(e)
  try:
    c.queue.attach(op)
  except CatchableError:
    c.waiting.del(op.id)
    raise
  future

proc close*(c: Completions) =
  ## Takes it out of the event loop. What is waited for then never ends.
  unregister(c.fd)
  c.queue.release()
  c.waiting.clear()
