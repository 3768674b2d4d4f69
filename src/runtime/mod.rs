//! The internal tokio runtime, operations, completion queues, the dispatcher, shutdown. It knows
//! no protocols.
