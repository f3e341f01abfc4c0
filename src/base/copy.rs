//! Copying some kilobytes that are in the cache.

/// Below what the C library copies by the processor's string instructions.
const PIECE_BYTES: usize = 1024;

/// Appends `bytes`, in pieces.
///
/// From about 2 KiB on a copy is left to the processor's string instructions. On AMD's they take
/// several times as long as a loop for what is in the cache, depending on where the two sides lie.
pub fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len());
    bytes.chunks(PIECE_BYTES).for_each(|piece| out.extend_from_slice(piece));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pieces_are_appended() {
        for length in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES] {
            let bytes: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
            let mut out = vec![7];
            append(&mut out, &bytes);
            assert_eq!((out[0], &out[1..]), (7, &bytes[..]));
        }
    }
}
