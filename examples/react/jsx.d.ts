/** Lets TSX know <whatsapp-media>. A file of its own, since who has no React must not need its types. */

import type { HTMLAttributes, Ref } from "react";
import type { WhatsAppMedia, WhatsAppMediaAttributes } from "../../web/whatsapp-media.js";

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "whatsapp-media": Omit<HTMLAttributes<WhatsAppMedia>, keyof WhatsAppMediaAttributes> &
        WhatsAppMediaAttributes & { ref?: Ref<WhatsAppMedia>; key?: string };
    }
  }
}
