//! What kinds of things are hidden, where they stood and how many there were.
//!
//! Names are the words users see in marks, counters and reports, and they do not change. No text is kept here.

use std::collections::BTreeMap;
use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};

macro_rules! classes {
    ($($(#[doc = $doc:literal])+ $name:ident $word:literal,)+) => {
        /// One kind of thing that is hidden.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[non_exhaustive]
        pub enum Class {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Class {
            /// Every class, in order of weight: where two overlap, the earlier one names the mark.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Returns the name that marks, counters and reports use.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }
        }
    };
}

classes! {
    /// A private key, whole or cut off.
    PrivateKey "private_key",
    /// A URL or data source name that carries a password or a key.
    ConnectionString "connection_string",
    /// The credentials of an `Authorization` header, of `curl -u` and the like.
    AuthHeader "auth_header",
    /// A JSON web token.
    Jwt "jwt",
    /// The words from which a wallet is rebuilt.
    SeedPhrase "seed_phrase",
    /// The seed of a one-time password.
    TotpSeed "totp_seed",
    /// A cookie that stands for a login.
    SessionCookie "session_cookie",
    /// A stored password, hashed.
    PasswordHash "password_hash",
    /// A password or passphrase.
    Password "password",
    /// A token that a service issued.
    ApiKey "api_key",
    /// A value under a name that says it is secret.
    GenericSecret "generic_secret",
    /// A payment card number.
    CreditCard "credit_card",
    /// An international bank account number.
    Iban "iban",
    /// A United States social security number.
    UsSsn "us_ssn",
    /// An e-mail address.
    Email "email",
    /// A telephone number.
    Phone "phone",
    /// The address of a crypto-currency wallet.
    CryptoWallet "crypto_wallet",
    /// A network address.
    Ip "ip",
    /// A hardware address.
    Mac "mac",
    /// A date of birth.
    Dob "dob",
    /// Somebody's name or account.
    Person "person",
    /// Where somebody lives or gets mail.
    Address "address",
    /// A company, an office, a club.
    Organization "organization",
    /// A town, a country, a place with a name.
    Location "location",
    /// A mobile device number.
    Imei "imei",
    /// A place on the map as coordinates.
    Geo "geo",
    /// An address on the web.
    Url "url",
    /// A host name.
    Domain "domain",
    /// A date.
    Date "date",
    /// An American bank's routing number.
    AbaRoutingNumber "aba_routing_number",
    /// An American bank account number.
    UsBankNumber "us_bank_number",
    /// An American taxpayer number.
    UsItin "us_itin",
    /// An American passport number.
    UsPassport "us_passport",
    /// An American driver licence number.
    UsDriverLicense "us_driver_license",
    /// An American health provider number.
    UsNpi "us_npi",
    /// An American Medicare number.
    UsMbi "us_mbi",
    /// An American licence to prescribe.
    MedicalLicense "medical_license",
    /// A Canadian social insurance number.
    CaSin "ca_sin",
    /// A British health service number.
    UkNhs "uk_nhs",
    /// A British national insurance number.
    UkNino "uk_nino",
    /// A British passport number.
    UkPassport "uk_passport",
    /// A British driving licence number.
    UkDrivingLicence "uk_driving_licence",
    /// A British number plate.
    UkVehicleRegistration "uk_vehicle_registration",
    /// A British post code.
    UkPostcode "uk_postcode",
    /// A British tax reference.
    UkUtr "uk_utr",
    /// A German tax identification number.
    DeTaxId "de_tax_id",
    /// A German tax number of an office.
    DeTaxNumber "de_tax_number",
    /// A German VAT number.
    DeVatId "de_vat_id",
    /// A German passport number.
    DePassport "de_passport",
    /// A German identity card number.
    DeIdCard "de_id_card",
    /// A German driving licence number.
    DeFuehrerschein "de_fuehrerschein",
    /// A German pension insurance number.
    DeSocialSecurity "de_social_security",
    /// A German health insurance number.
    DeHealthInsurance "de_health_insurance",
    /// A German number plate.
    DeKfz "de_kfz",
    /// A German commercial register entry.
    DeHandelsregister "de_handelsregister",
    /// A German post code.
    DePlz "de_plz",
    /// A German physician number.
    DeLanr "de_lanr",
    /// A German practice number.
    DeBsnr "de_bsnr",
    /// A French social security number.
    FrNir "fr_nir",
    /// A Spanish tax number.
    EsNif "es_nif",
    /// A Spanish number of a foreigner.
    EsNie "es_nie",
    /// A Spanish passport number.
    EsPassport "es_passport",
    /// An Italian fiscal code.
    ItFiscalCode "it_fiscal_code",
    /// An Italian VAT number.
    ItVatCode "it_vat_code",
    /// An Italian driver licence number.
    ItDriverLicense "it_driver_license",
    /// An Italian identity card number.
    ItIdentityCard "it_identity_card",
    /// An Italian passport number.
    ItPassport "it_passport",
    /// A Portuguese tax number.
    PtNif "pt_nif",
    /// A Dutch citizen number.
    NlBsn "nl_bsn",
    /// A Belgian national number.
    BeNn "be_nn",
    /// A Swiss social insurance number.
    ChAhv "ch_ahv",
    /// An Austrian social insurance number.
    AtSvnr "at_svnr",
    /// A Polish citizen number.
    PlPesel "pl_pesel",
    /// A Polish tax number.
    PlNip "pl_nip",
    /// A Czech birth number.
    CzRc "cz_rc",
    /// A Swedish personal number.
    SePersonnummer "se_personnummer",
    /// A Swedish organisation number.
    SeOrganisationsnummer "se_organisationsnummer",
    /// A Norwegian birth number.
    NoFnr "no_fnr",
    /// A Danish personal number.
    DkCpr "dk_cpr",
    /// A Finnish personal code.
    FiHetu "fi_hetu",
    /// An Irish personal public service number.
    IePps "ie_pps",
    /// A Turkish citizen number.
    TrNationalId "tr_national_id",
    /// A Turkish number plate.
    TrLicensePlate "tr_license_plate",
    /// A Turkish telephone number.
    TrPhoneNumber "tr_phone_number",
    /// An Israeli citizen number.
    IlId "il_id",
    /// An Indian Aadhaar number.
    InAadhaar "in_aadhaar",
    /// An Indian tax account number.
    InPan "in_pan",
    /// An Indian tax identification of goods and services.
    InGstin "in_gstin",
    /// An Indian passport number.
    InPassport "in_passport",
    /// An Indian voter number.
    InVoter "in_voter",
    /// An Indian number plate.
    InVehicleRegistration "in_vehicle_registration",
    /// An Australian business number.
    AuAbn "au_abn",
    /// An Australian company number.
    AuAcn "au_acn",
    /// An Australian tax file number.
    AuTfn "au_tfn",
    /// An Australian Medicare number.
    AuMedicare "au_medicare",
    /// A New Zealand tax number.
    NzIrd "nz_ird",
    /// A Singaporean identity number.
    SgNricFin "sg_nric_fin",
    /// A Singaporean entity number.
    SgUen "sg_uen",
    /// A Korean resident number.
    KrRrn "kr_rrn",
    /// A Korean number of a foreigner.
    KrFrn "kr_frn",
    /// A Korean business number.
    KrBrn "kr_brn",
    /// A Korean passport number.
    KrPassport "kr_passport",
    /// A Korean driver licence number.
    KrDriverLicense "kr_driver_license",
    /// A Japanese individual number.
    JpMyNumber "jp_my_number",
    /// A Chinese resident number.
    CnRic "cn_ric",
    /// A Thai citizen number.
    ThTnin "th_tnin",
    /// A Philippine mobile number.
    PhMobileNumber "ph_mobile_number",
    /// A Philippine tax number.
    PhTin "ph_tin",
    /// A Nigerian citizen number.
    NgNin "ng_nin",
    /// A Nigerian number plate.
    NgVehicleRegistration "ng_vehicle_registration",
    /// A South African citizen number.
    ZaIdNumber "za_id_number",
    /// A Brazilian citizen number.
    BrCpf "br_cpf",
    /// A Brazilian company number.
    BrCnpj "br_cnpj",
    /// A Mexican population code.
    MxCurp "mx_curp",
    /// A Chilean tax number.
    ClRut "cl_rut",
}

impl Class {
    /// Tells whether this is a credential: always hidden, under every policy, and never recoverable.
    pub const fn is_secret(self) -> bool {
        matches!(
            self,
            Self::PrivateKey
                | Self::ConnectionString
                | Self::AuthHeader
                | Self::Jwt
                | Self::SeedPhrase
                | Self::TotpSeed
                | Self::SessionCookie
                | Self::PasswordHash
                | Self::Password
                | Self::ApiKey
                | Self::GenericSecret
        )
    }

    /// Returns the class of that name.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|class| class.as_str() == word)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Class {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Class {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Self::named(&word).ok_or_else(|| {
            serde::de::Error::custom(format!("`{word}` is not a redaction class; `hearth redact --help` lists them"))
        })
    }
}

/// Where something was hidden: byte offsets of the input, end exclusive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The first byte that was hidden.
    pub start: usize,
    /// The first byte after it.
    pub end: usize,
    /// What was hidden.
    pub class: Class,
}

/// How much of each class was hidden. It is safe to show: numbers only.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Counts(BTreeMap<Class, u32>);

impl Counts {
    /// Counts `n` more of `class`.
    pub fn add(&mut self, class: Class, n: u32) {
        if n > 0 {
            let slot = self.0.entry(class).or_insert(0);
            *slot = slot.saturating_add(n);
        }
    }

    /// Adds what `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (class, n) in other.iter() {
            self.add(class, n);
        }
    }

    /// Returns how many of `class` there were.
    pub fn of(&self, class: Class) -> u32 {
        self.0.get(&class).copied().unwrap_or(0)
    }

    /// Returns what was counted, heaviest class first.
    pub fn iter(&self) -> impl Iterator<Item = (Class, u32)> + '_ {
        self.0.iter().map(|(class, n)| (*class, *n))
    }

    /// Returns how many there were of all classes.
    pub fn total(&self) -> u64 {
        self.0.values().map(|n| u64::from(*n)).sum()
    }

    /// Tells whether nothing was hidden.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (class, n) in self.iter() {
            map.serialize_entry(class.as_str(), &n)?;
        }
        map.end()
    }
}

impl<'de> serde::Deserialize<'de> for Counts {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::<Class, u32>::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_own_name_and_is_found_by_it() {
        for class in Class::ALL {
            assert_eq!(Class::named(class.as_str()), Some(*class));
        }
    }

    #[test]
    fn counts_are_a_map_from_names_to_numbers() {
        let mut counts = Counts::default();
        counts.add(Class::Email, 2);
        counts.add(Class::Password, 1);
        counts.add(Class::Phone, 0);
        let written = serde_json::to_string(&counts).expect("numbers can be written");
        assert_eq!(written, r#"{"password":1,"email":2}"#);
        assert_eq!(serde_json::from_str::<Counts>(&written).expect("what was written can be read"), counts);
    }

    #[test]
    fn counts_add_up_and_never_run_over() {
        let mut counts = Counts::default();
        assert!(counts.is_empty());
        counts.add(Class::Email, u32::MAX);
        counts.add(Class::Email, 1);
        let mut other = Counts::default();
        other.add(Class::Phone, 3);
        other.merge(&counts);
        assert_eq!([Class::Email, Class::Phone, Class::Iban].map(|class| other.of(class)), [u32::MAX, 3, 0]);
        assert_eq!((other.total(), other.is_empty()), (u64::from(u32::MAX) + 3, false));
    }

    #[test]
    fn a_class_is_read_by_its_name_and_an_unknown_one_is_refused_with_what_to_do() {
        assert_eq!(serde_json::from_str::<Class>("\"iban\"").expect("a class"), Class::Iban);
        assert_eq!(serde_json::to_string(&Class::Iban).expect("a word"), "\"iban\"");
        assert_eq!(Class::Iban.to_string(), "iban");
        let refused = serde_json::from_str::<Class>("\"ibn\"").expect_err("a slip");
        assert!(refused.to_string().contains("`ibn` is not a redaction class; `hearth redact --help` lists them"));
        assert_eq!(Class::named("ibn"), None);
    }

    #[test]
    fn secrets_come_first_so_that_they_name_the_mark() {
        let secrets = Class::ALL.iter().take_while(|class| class.is_secret()).count();
        assert!(secrets > 0 && Class::ALL[secrets..].iter().all(|class| !class.is_secret()));
        assert!(Class::ALL.is_sorted());
    }
}
