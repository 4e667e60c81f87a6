package databasetest_test

import (
	"testing"

	"go.uber.org/goleak"

	"poise/internal/database"
	"poise/internal/database/databasetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(databasetest.Suite{M: m}) }

func TestEachDatabaseIsEmpty(t *testing.T) {
	for range 2 {
		databasetest.Each(t, func(t *testing.T, db *database.DB) {
			if _, err := db.ExecContext(t.Context(), "CREATE TABLE once (id BIGINT)"); err != nil {
				t.Error(err)
			}
		})
	}
}
