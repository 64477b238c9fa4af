/**
 * What a client must know of one API server: the result of reading a kubeconfig or a Pod's service
 * account, and the input of `createClients`. Plain data and two small ports.
 */

export interface ClientCertificate {
  /** PEM; the leaf first. */
  readonly cert: string;
  readonly key: string;
}

/**
 * Proof of who we are. Values may change over time: ask before each request (`authorization`) and
 * before each new connection (`certificate`).
 *
 * Both reject with a `KubeConnectionError` of kind `credentials` when none can be had.
 */
export interface Credentials {
  /** The `Authorization` header's value, undefined to send none. */
  authorization(): Promise<string | undefined> | string | undefined;
  certificate(): Promise<ClientCertificate | undefined> | ClientCertificate | undefined;
  /**
   * The server answered 401 to a request sent with `rejected` as its Authorization. Looks for newer
   * credentials; true when a repetition may fare better.
   */
  refresh(rejected: string | undefined): Promise<boolean>;
}

export const anonymous: Credentials = {
  authorization: () => undefined,
  certificate: () => undefined,
  refresh: () => Promise.resolve(false),
};

export interface Impersonation {
  readonly user: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export interface ClusterConnection {
  /** Where this was read, for messages, such as `context "dev" of /home/me/.kube/config`. */
  readonly origin: string;
  /** `http:` or `https:`; a path is a prefix of every request. */
  readonly server: URL;
  /** Namespace of the context or of the service account. */
  readonly namespace?: string;
  /** Trusted roots in PEM, and no others; undefined for the platform's own. */
  readonly trustRoots?: () => Promise<string> | string;
  /** Name to ask for and to find in the server's certificate, in place of the URL's host. */
  readonly serverName?: string;
  /** The server's certificate is not checked at all. */
  readonly insecure?: boolean;
  /** `http://[user:password@]host:port` or `socks5://host:port`. */
  readonly proxy?: URL;
  readonly credentials: Credentials;
  readonly impersonate?: Impersonation;
}
