//! The server through the client, and both against upstream's tables.
