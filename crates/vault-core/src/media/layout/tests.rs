use proptest::prelude::*;

use super::*;

const BOTH: [SegmentLength; 2] = [SegmentLength::Voice, SegmentLength::Video];

#[test]
fn lengths_at_the_edges() {
    for segment in BOTH {
        let (plain, whole) = (segment.plaintext(), segment.encrypted());
        let head = HEADER_LEN as u64;
        for bad in [0, 1, head, head + 1, head + 31, head + whole + 1, head + whole + 31] {
            assert_eq!(Extent::of_ciphertext(segment, bad), Err(InvalidExtent), "{bad}");
        }
        let full = Extent::of_ciphertext(segment, head + whole).unwrap();
        assert_eq!((full.last(), full.claimed_plaintext()), (0, plain), "a full final segment is read");
        let written = Extent::of_plaintext(segment, plain).unwrap();
        assert_eq!((written.last(), written.ciphertext()), (1, head + whole + 32), "and an empty one is written");
        assert_eq!(Extent::of_plaintext(segment, u64::MAX), Err(InvalidExtent));
        assert_eq!(Extent::of_ciphertext(segment, u64::MAX), Err(InvalidExtent));
        assert_eq!(written.segment_at(0), Ok((head, whole)));
        assert_eq!(written.segment_at(1), Ok((head + whole, 32)));
        assert_eq!(written.segment_at(2), Err(InvalidExtent));
        assert_eq!(SegmentLength::from_plaintext(plain), Some(segment));
    }
    assert_eq!(SegmentLength::from_plaintext(65_537), None);
}

#[test]
fn gaps_overlaps_and_disorder_are_refused() {
    let span = |offset, length| PartSpan { offset, length };
    let good = [span(0, 10), span(10, 5), span(15, 10)];
    assert_eq!(locate(&good, 9..16).unwrap().len(), 3);
    assert_eq!(locate(&good, 3..3), Ok(vec![]));
    assert_eq!(locate(&good, 20..26), Err(PartError::Gap(25)));
    assert_eq!(locate(&[], 0..1), Err(PartError::Gap(0)));
    assert_eq!(locate(&[span(0, 10), span(11, 5)], 5..15), Err(PartError::Gap(10)));
    assert_eq!(locate(&[span(0, 10), span(9, 5)], 5..14), Err(PartError::Gap(10)));
    assert_eq!(locate(&[span(5, 10)], 0..6), Err(PartError::Gap(0)));
    assert_eq!(locate(&[span(0, 4), span(4, 0), span(4, 4)], 0..8), Err(PartError::Gap(4)));
    assert_eq!(locate(&[span(u64::MAX, 5)], 3..9), Err(PartError::Gap(3)));
}

#[test]
fn tags_of_a_row() {
    let mut tags = Tags::starting_at(7);
    tags.push(SegmentTag([1; 16]));
    tags.push(SegmentTag([2; 16]));
    let read = Tags::from_row(7, tags.as_bytes().to_vec()).unwrap();
    assert_eq!(
        (read.get(6), read.get(7), read.get(8), read.get(9)),
        (None, Some(SegmentTag([1; 16])), Some(SegmentTag([2; 16])), None)
    );
    assert_eq!(read.get(u64::MAX), None);
    assert_eq!(Tags::from_row(7, vec![0; 17]), Err(PartError::Tags));
}

proptest! {
    #[test]
    fn the_slices_of_a_range_are_that_range(
        voice: bool,
        plaintext in 0u64..3_000_000,
        a in 0u64..3_000_000,
        b in 0u64..3_000_000,
    ) {
        let segment = if voice { SegmentLength::Voice } else { SegmentLength::Video };
        let extent = Extent::of_plaintext(segment, plaintext).unwrap();
        prop_assert_eq!(extent.claimed_plaintext(), plaintext);
        prop_assert_eq!(Extent::of_ciphertext(segment, extent.ciphertext()).unwrap(), extent);
        let length = VerifiedLength::proven(extent);
        let range = a.min(b)..a.max(b);
        let slices = length.segments(range.clone());
        prop_assert_eq!(slices.is_err(), range.end > plaintext);
        if let Ok(slices) = slices {
            let mut at = range.start;
            for slice in slices {
                prop_assert_eq!(slice.index * segment.plaintext() + slice.from as u64, at);
                prop_assert!(slice.from < slice.to && slice.to <= length.plaintext_of(slice.index).unwrap());
                at += (slice.to - slice.from) as u64;
            }
            prop_assert_eq!(at, range.end.max(range.start));
        }
    }

    #[test]
    fn reads_of_parts_bring_the_bytes_of_the_range(
        lengths in proptest::collection::vec(1u64..50, 1..20),
        a in 0u64..600,
        b in 0u64..600,
    ) {
        let mut offset = 0;
        let parts: Vec<PartSpan> = lengths.iter().map(|length| {
            offset += length;
            PartSpan { offset: offset - length, length: *length }
        }).collect();
        let bytes: Vec<u64> = (0..offset).collect();
        let range = a.min(b)..a.max(b);
        match locate(&parts, range.clone()) {
            Ok(reads) => {
                let mut got: Vec<u64> = Vec::new();
                for read in reads {
                    let span = parts[read.part];
                    prop_assert!(read.from < read.to && read.to <= span.length);
                    got.extend(&bytes[(span.offset + read.from) as usize..(span.offset + read.to) as usize]);
                }
                prop_assert_eq!(got, &bytes[range.start.min(offset) as usize..range.end.min(offset) as usize]);
            }
            Err(_) => prop_assert!(range.end > offset),
        }
    }

    #[test]
    fn no_numbers_make_it_panic(total: u64, start: u64, end: u64, offset: u64, size: u64) {
        for segment in BOTH {
            if let Ok(extent) = Extent::of_ciphertext(segment, total) {
                let _ = extent.segment_at(start);
                let _ = VerifiedLength::proven(extent).segments(start..end).map(|mut s| s.next());
            }
            let _ = segment_offset(segment, start);
        }
        let _ = locate(&[PartSpan { offset, length: size }], start..end);
    }
}
