package store

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"poise/internal/database"
	"poise/internal/database/databasetest"
	"poise/internal/lb"
)

// TestOffers follows flavors and availability zones with their profiles: each name once, and nothing goes that is used.
func TestOffers(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		s, ctx := newStore(t, db), t.Context()
		for _, f := range []lb.Family{lb.Flavors, lb.AvailabilityZones} {
			profile := lb.Profile{ID: uuid.NewString(), Name: "p", Provider: "poise", Data: "{}"}
			offer := lb.Offer{ID: "gold", Name: "gold", Enabled: true, ProfileID: profile.ID}
			expect := func(what string, err error, code lb.Code) {
				t.Helper()
				if lb.CodeOf(err) != code || code == 0 && err != nil {
					t.Errorf("%s: %s: %v", f.Kind(), what, err)
				}
			}
			expect("offer without a profile", s.CreateOffer(ctx, f, offer), lb.Invalid)
			expect("profile", s.CreateProfile(ctx, f, profile), 0)
			expect("offer", s.CreateOffer(ctx, f, offer), 0)
			expect("the same name", s.CreateOffer(ctx, f, lb.Offer{ID: "other", Name: "gold", ProfileID: profile.ID}), lb.Conflict)
			expect("used profile", s.DeleteProfile(ctx, f, profile.ID), lb.Conflict)
			_, err := s.ChangeProfile(ctx, f, profile.ID, func(p *lb.Profile) error { p.Data = `{"x":1}`; return nil })
			expect("meaning of a used profile", err, lb.Conflict)
			renamed, err := s.ChangeProfile(ctx, f, profile.ID, func(p *lb.Profile) error { p.Name = "q"; return nil })
			expect("name of a used profile", err, 0)
			offer.Enabled = false
			changed, err := s.ChangeOffer(ctx, f, "gold", func(o *lb.Offer) { o.Enabled = false })
			expect("change", err, 0)
			profiles, err := s.Profiles(ctx, f)
			expect("profiles", err, 0)
			offers, err := s.Offers(ctx, f)
			expect("offers", err, 0)
			if diff := cmp.Diff([]any{[]lb.Profile{renamed}, []lb.Offer{offer}, offer}, []any{profiles, offers, changed}); diff != "" {
				t.Error(diff)
			}
			for what, err := range map[string]error{
				"offer":   second(s.Offer(ctx, f, "none")),
				"profile": second(s.Profile(ctx, f, "none")),
				"changed": second(s.ChangeOffer(ctx, f, "none", func(*lb.Offer) {})),
				"deleted": s.DeleteOffer(ctx, f, "none"),
			} {
				expect("missing "+what, err, lb.NotFound)
			}

			placement := map[lb.Family]lb.Placement{lb.Flavors: {FlavorID: "gold"}, lb.AvailabilityZones: {AvailabilityZone: "gold"}}[f]
			tree, err := lb.NewLoadBalancer(lb.LoadBalancerCreate{ID: uuid.NewString(), ProjectID: "p", Placement: placement}, time.Now())
			expect("load balancer", err, 0)
			_, err = s.Create(ctx, tree)
			expect("load balancer", err, 0)
			if read := reread(t, db, tree.ID).Tree; read.FlavorID != placement.FlavorID || read.AvailabilityZone != placement.AvailabilityZone {
				t.Errorf("flavor %q, zone %q", read.FlavorID, read.AvailabilityZone)
			}
			expect("used offer", s.DeleteOffer(ctx, f, "gold"), lb.Conflict)
			change(t, s, tree.ID, func(tree *lb.LoadBalancer) error { return tree.Delete(true) })
			acknowledge(t, s, tree.ID)
			expect("offer that was used", s.DeleteOffer(ctx, f, "gold"), 0)
			expect("profile that was used", s.DeleteProfile(ctx, f, profile.ID), 0)
			tree.ID = uuid.NewString()
			_, err = s.Create(ctx, tree)
			expect("load balancer of an offer that is gone", err, lb.Invalid)
		}
	})
}

// TestConcurrentOfferChanges has many change one flavor and one profile at once; no change is lost.
func TestConcurrentOfferChanges(t *testing.T) {
	const writers = 20
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		s, ctx, f := newStore(t, db), t.Context(), lb.Flavors
		profile := lb.Profile{ID: uuid.NewString(), Name: "p", Provider: "poise", Data: "{}"}
		if err := errors.Join(s.CreateProfile(ctx, f, profile), s.CreateOffer(ctx, f, lb.Offer{ID: "gold", Name: "gold", ProfileID: profile.ID})); err != nil {
			t.Fatal(err)
		}
		var group errgroup.Group
		for range writers {
			group.Go(func() error {
				_, err := s.ChangeOffer(ctx, f, "gold", func(o *lb.Offer) { o.Description += "x" })
				return err
			})
			group.Go(func() error {
				_, err := s.ChangeProfile(ctx, f, profile.ID, func(p *lb.Profile) error { p.Name += "x"; return nil })
				return err
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		offer, err := s.Offer(ctx, f, "gold")
		if err != nil || len(offer.Description) != writers {
			t.Errorf("%d of %d changes of the flavor are there (%v)", len(offer.Description), writers, err)
		}
		profile, err = s.Profile(ctx, f, profile.ID)
		if err != nil || len(profile.Name) != len("p")+writers {
			t.Errorf("%d of %d changes of the profile are there (%v)", len(profile.Name)-len("p"), writers, err)
		}
	})
}

func second[T any](_ T, err error) error { return err }
