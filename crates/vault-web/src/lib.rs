//! Pages of Feedback Vault, embedded in the server.
//!
//! This version has no widget and no console: the page says so, and where to go instead.

/// The first page.
pub const INDEX: &str = include_str!("../pages/index.html");

/// Its style.
pub const STYLE: &str = include_str!("../pages/style.css");
