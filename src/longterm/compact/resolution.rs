//! The resolutions that there are.

/// How far apart samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolution {
    /// As scraped.
    Raw,
    /// Five minutes.
    FiveMinutes,
    /// An hour.
    Hour,
}

impl Resolution {
    /// All, finest first.
    pub const ALL: [Self; 3] = [Self::Raw, Self::FiveMinutes, Self::Hour];

    /// That of a block, as its meta has it.
    #[must_use]
    pub const fn of(resolution_ms: i64) -> Option<Self> {
        match resolution_ms {
            0 => Some(Self::Raw),
            300_000 => Some(Self::FiveMinutes),
            3_600_000 => Some(Self::Hour),
            _ => None,
        }
    }

    /// As the meta of a block has it.
    #[must_use]
    pub const fn ms(self) -> i64 {
        match self {
            Self::Raw => 0,
            Self::FiveMinutes => 300_000,
            Self::Hour => 3_600_000,
        }
    }

    /// What blocks of this resolution are downsampled to.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self {
            Self::Raw => Some(Self::FiveMinutes),
            Self::FiveMinutes => Some(Self::Hour),
            Self::Hour => None,
        }
    }

    /// Those that are coarser, finest first.
    pub fn coarser(self) -> impl Iterator<Item = Self> {
        std::iter::successors(self.next(), |resolution| resolution.next())
    }
}

impl std::fmt::Display for Resolution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::FiveMinutes => "5m",
            Self::Hour => "1h",
        })
    }
}
