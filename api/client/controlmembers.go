package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/stead-io/stead/api"
)

// Members lists the control plane's members, those asked for, and those that wait to be.
func (c *Client) Members(ctx context.Context) (api.MemberList, error) {
	return call[api.MemberList](ctx, c, get("list the members", "/v1/members", nil))
}

// AddMember asks for a new member, in the place of another if replaces, a name or id, is set. The answer
// comes at once; Members tells how far it is.
func (c *Client) AddMember(ctx context.Context, name, replaces string) (api.Member, error) {
	ask := post("add member "+name, "/v1/members", api.MemberAdd{Name: name, Replaces: replaces})
	return call[api.Member](ctx, c, ask)
}

// RemoveMember takes a member, by name or id, off the list.
func (c *Client) RemoveMember(ctx context.Context, who string) error {
	ask := post("remove member "+who, "/v1/members/"+url.PathEscape(who), nil)
	ask.method = http.MethodDelete
	_, repeated, err := callTracked[struct{}](ctx, c, ask)
	if repeated && api.CodeOf(err) == api.CodeMemberUnknown {
		return nil // an earlier try of this very call removed it
	}
	return err
}
