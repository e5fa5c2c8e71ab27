"""Everything that speaks SMTP: mail that comes in (`submission`), goes out (`delivery`) and comes back (`bounces`)."""
