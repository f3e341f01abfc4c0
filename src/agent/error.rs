//! Why an agent did not start.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use super::client::ClientError;
use super::forward::ForwardError;
use super::log::AgentLogError;

/// Why an agent did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum AgentError {
    /// The address for its pages cannot be had.
    Listen(SocketAddr, io::Error),
    /// The log cannot be opened.
    Log(AgentLogError),
    /// A certificate, key or proxy of the configuration cannot be used.
    Client(ClientError),
    /// A sender cannot be started.
    Forward(ForwardError),
}

impl fmt::Display for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error) => write!(f, "listening at {address}: {error}"),
            Self::Log(error) => write!(f, "opening the log: {error}"),
            Self::Client(error) => error.fmt(f),
            Self::Forward(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AgentError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen(_, error) => Some(error),
            Self::Log(error) => Some(error),
            Self::Client(error) => Some(error),
            Self::Forward(error) => Some(error),
        }
    }
}

impl From<ClientError> for AgentError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<AgentLogError> for AgentError {
    fn from(error: AgentLogError) -> Self {
        Self::Log(error)
    }
}

impl From<ForwardError> for AgentError {
    fn from(error: ForwardError) -> Self {
        Self::Forward(error)
    }
}
