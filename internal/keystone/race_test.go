package keystone_test

import (
	"net/http"
	"sync"
	"testing"

	"poise/internal/database"
	"poise/internal/database/databasetest"
)

// TestDeletedMeanwhile refers to a role and to a user in the very moment in which they are deleted. One of the two wins, and
// the other is told why it cannot have its way.
func TestDeletedMeanwhile(t *testing.T) {
	const rounds = 15
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		c := newCloud(t, db)
		admin := c.admin()
		project := admin.want(201, "POST", "/v3/projects", object{"project": object{"name": "p"}}).text("project", "id")
		keep := admin.want(201, "POST", "/v3/roles", object{"role": object{"name": "keep"}}).text("role", "id")
		for range rounds {
			role := admin.want(201, "POST", "/v3/roles", object{"role": object{"name": "r"}}).text("role", "id")
			user := admin.want(201, "POST", "/v3/users", object{"user": object{"name": "u", "password": "secret"}}).text("user", "id")
			grants := "/v3/projects/" + project + "/users/" + user + "/roles/"
			admin.want(204, "PUT", grants+keep, nil)
			var tasks sync.WaitGroup
			race := func(method, path string, body any) {
				tasks.Go(func() {
					if answer := admin.call(method, path, body); answer.status >= http.StatusInternalServerError {
						t.Errorf("%s %s: %d %v", method, path, answer.status, answer.body)
					}
				})
			}
			race("PUT", grants+role, nil)
			race("DELETE", "/v3/roles/"+role, nil)
			race("POST", "/v3/auth/tokens", passwordAuth("u", "secret", onProject("p")))
			race("DELETE", "/v3/users/"+user, nil)
			tasks.Wait()
		}
	})
}
