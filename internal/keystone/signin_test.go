package keystone_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/database"
	"poise/internal/database/databasetest"
	"poise/internal/rest"
)

func TestPasswordLogin(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		c := newCloud(t, db)
		answer := c.want(201, "POST", "/v3/auth/tokens", passwordAuth("demo", demoPassword, onProject("demo")))
		token := answer.header.Get("X-Subject-Token")
		if len(token) != 43 {
			t.Errorf("token %q is not 32 bytes", token)
		}
		caller, err := c.service.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		want := rest.Caller{
			UserID: answer.text("token", "user", "id"), UserName: "demo", DomainID: "default",
			ProjectID: answer.text("token", "project", "id"), ProjectName: "demo", Roles: []string{"member", "reader"},
		}
		if diff := cmp.Diff(want, caller); diff != "" {
			t.Errorf("caller (-want +got):\n%s", diff)
		}
		shown := c.with(token).want(200, "GET", "/v3/auth/tokens", nil, "X-Subject-Token", token)
		if diff := cmp.Diff(answer.body, shown.body); diff != "" {
			t.Errorf("the token shown differs from the one issued (-issued +shown):\n%s", diff)
		}
	})
}
