//! How does a year of blocks live in object storage, shared with Thanos?
//!
//! | object                          | is                                                       |
//! |---------------------------------|----------------------------------------------------------|
//! | `<ULID>/chunks/000001`, `index` | a block: [`crate::storage::block`]                       |
//! | `<ULID>/meta.json`              | what it covers; there last, gone first: [`BucketBlock`]  |
//! | `<ULID>/deletion-mark.json`     | it will be removed: [`Mark`]                             |
//! | `<ULID>/no-compact-mark.json`   | it is left out of merging                                |
//! | `<ULID>/no-downsample-mark.json`| it is left out of downsampling                           |
//! | `promlite/…`                    | ours; Thanos ignores names that are no ULID              |
//!
//! Useful for: blocks in S3, GCS, Azure or a folder; asking them; keeping them small.
//! Not useful for: the blocks themselves; see [`crate::storage::block`].

mod block;
pub mod bucket;
pub mod compact;
mod error;
mod fetch;
mod filter;
pub mod gateway;
mod index;
mod marks;
mod meta;
mod plain;
mod ship;
#[cfg(feature = "thanos")]
pub mod storeapi;
#[cfg(test)]
mod tests;
mod time_text;
mod upload;
mod verify;
mod view;

pub use block::{delete_block, download_block};
pub use error::LongTermError;
pub use fetch::{FetchOptions, Fetcher};
pub use filter::BLOCK_ID_LABEL;
pub use index::{BUCKET_INDEX, BucketIndex};
pub use marks::{Mark, MarkKind, read_mark, remove_mark, write_mark};
pub use meta::{BucketBlock, FileHash, FileInfo, IndexStats, Source, ThanosMeta};
pub use ship::{SHIPPER_FILE, ShipOptions, ShipReport, Shipper};
pub use upload::{UploadOptions, upload_block};
pub use view::{BucketView, PartialBlock, PartialWhy};
