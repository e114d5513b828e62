// The one file to change: which messages the inbox shows, and on whose behalf it asks for them.

/**
 * Give the inbox its settings; it asks once, when it is opened.
 *
 * apiUrl         the API's address: the stack's output ApiUrl, or your own domain for it
 * phoneNumberId  Meta's id of the business number whose conversations are shown
 * title          that number as people know it
 * getToken       gives a token that opens these messages, or a promise of one; it is asked before each request, so keep
 *                the token for as long as it is good; `renew` is true when the last one was refused. Where it fails, the
 *                inbox says that the session has ended
 * media          how the media show who asks: "bearer" with that token; "cookie" where the API shares your site and you
 *                have set the cookie `media_token`; "address" with ?token=, where the token stays the same for long
 */
export async function settings() {
  let token = "";
  return {
    apiUrl: "https://api.example.com",
    phoneNumberId: "100000000000001",
    title: "+1 555 010 0001",
    getToken: async (renew) => {
      if (token && !renew) return token;
      const answer = await fetch("/media-token", { method: "POST" });
      if (!answer.ok) throw new Error("not signed in");
      token = await answer.text();
      return token;
    },
    media: "bearer",
  };
}
